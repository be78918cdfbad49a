//! Generates the gRPC code from `proto/` with a protobuf compiler written in Rust: nothing to install.

use std::{env, error::Error, path::PathBuf};

const FILES: [&str; 8] = [
    "bots", "content", "entities", "errors", "events", "messages", "portals", "server",
];

#[expect(
    clippy::disallowed_methods,
    reason = "this is how cargo tells where to write"
)]
fn main() -> Result<(), Box<dyn Error>> {
    let files: Vec<_> = FILES
        .iter()
        .map(|name| format!("bitrix24/gateway/v1/{name}.proto"))
        .collect();
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(&files, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // Served by reflection.
    std::fs::write(
        out.join("descriptors.bin"),
        prost::Message::encode_to_vec(&descriptors),
    )?;
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .codec_path("crate::proto::codec::SmallBuffers")
        // Events and portals are large, the other items of a stream are not.
        .boxed(".bitrix24.gateway.v1.SubscribeCommandEventsResponse.item.event")
        .boxed(".bitrix24.gateway.v1.SubscribeEventsResponse.item.event")
        .boxed(".bitrix24.gateway.v1.WatchPortalsResponse.item.change")
        .compile_fds(descriptors)?;
    Ok(())
}
