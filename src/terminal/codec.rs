//! Messages of which only the gateway knows what they hold: as bytes, and as JSON.

use bytes::Buf as _;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use super::screen::escaped_json;

/// Messages as their descriptors say.
#[derive(Debug, Clone)]
pub(super) struct Dynamic {
    answer: MessageDescriptor,
}

impl Dynamic {
    pub(super) fn of(rpc: &MethodDescriptor) -> Self {
        Self {
            answer: rpc.output(),
        }
    }
}

impl Codec for Dynamic {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        self.clone()
    }

    fn decoder(&mut self) -> Self {
        self.clone()
    }
}

impl Encoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, item: DynamicMessage, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(to)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        let decoded = DynamicMessage::decode(self.answer.clone(), bytes);
        decoded
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

/// A message as JSON, with the names of the proto files, as in paths of wrong fields.
///
/// # Errors
///
/// When it holds something that JSON has no form for, such as a time outside of all years.
pub fn json(message: &DynamicMessage, indented: bool) -> Result<String, serde_json::Error> {
    let options = SerializeOptions::new().use_proto_field_name(true);
    let mut text = Vec::new();
    if indented {
        let mut to = serde_json::Serializer::pretty(&mut text);
        message.serialize_with_options(&mut to, &options)?;
    } else {
        let mut to = serde_json::Serializer::new(&mut text);
        message.serialize_with_options(&mut to, &options)?;
    }
    Ok(escaped_json(&String::from_utf8_lossy(&text)))
}
