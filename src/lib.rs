//! One typed gRPC API in front of Bitrix24 chat-bots.

pub mod proto;

pub mod portal;
pub mod store;

pub mod clock;
pub mod fault;
pub mod ids;
