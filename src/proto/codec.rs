//! How messages become bytes: as protobuf, in buffers that begin small.
//!
//! A stream keeps its buffer for as long as it lives. Tonic begins with 8 KiB, most of our messages are
//! under 1 KiB, and a buffer grows by itself: with thousands of streams that is the better part of
//! what they take up.

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// A buffer at its beginning, bytes.
const SMALL: usize = 512;

/// Encoded messages that are ready leave together from so many bytes on; as tonic has it.
const TOGETHER: usize = 32 << 10;

/// Encodes `T`, decodes `U`.
#[derive(Debug)]
pub(crate) struct SmallBuffers<T, U>(ProstCodec<T, U>);

impl<T, U> Default for SmallBuffers<T, U> {
    fn default() -> Self {
        Self(ProstCodec::new())
    }
}

impl<T, U> Codec for SmallBuffers<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(SMALL, TOGETHER))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(SMALL, TOGETHER))
    }
}
