//! The generated side of `proto/`. Only the gRPC edge and its clients use it.

mod codec;

/// Version 1 of the API; documented in `proto/bitrix24/gateway/v1`.
#[expect(unused_qualifications, clippy::allow_attributes, reason = "generated")]
pub mod v1 {
    tonic::include_proto!("bitrix24.gateway.v1");
}

/// What reflection serves.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
