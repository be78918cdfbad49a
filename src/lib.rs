//! One typed gRPC API in front of Bitrix24 chat-bots.
