//! The example bots as they are, over Unix sockets and through a relay.

use std::{path::Path, time::Duration};

use bitrix24_gateway::{
    lifecycle::Lifecycle,
    relay::{Config, Files, Relay, Target},
};

use crate::{
    portal::World,
    tools::{Language, NODE, PYTHON, Workshop},
};

/// A relay in front of a world, at a socket and at an address.
struct Relaying {
    life: Lifecycle,
    address: String,
}

impl Relaying {
    async fn start(world: &World, socket: &Path) -> Self {
        let config = Config {
            socket: Some(socket.to_owned()),
            listen: Some("127.0.0.1:0".parse().unwrap()),
            connections: 10,
            upstream: Target {
                tls: false,
                host: "127.0.0.1".to_owned(),
                port: world.address().port(),
            },
            files: Files::default(),
            connect_timeout: Duration::from_secs(5),
            keepalive: Duration::from_secs(30),
            pod: None,
        };
        let life = Lifecycle::default();
        let relay = Relay::bind(config, &life).await.unwrap();
        let address = relay.address().unwrap().unwrap().to_string();
        let running = life.clone();
        tokio::spawn(async move { relay.run(&running).await });
        Self { life, address }
    }
}

#[tokio::test]
async fn python_bot_works_through_a_relay_by_socket_and_by_address() {
    bot_works_through_a_relay(PYTHON).await;
}

#[tokio::test]
async fn node_bot_works_through_a_relay_by_socket_and_by_address() {
    bot_works_through_a_relay(NODE).await;
}

async fn bot_works_through_a_relay(language: Language) {
    let workshop = Workshop::of(language).await;
    let mut world = World::start(language.bot_code).await;
    let socket = world.folder().join("relay.sock");
    let relay = Relaying::start(&world, &socket).await;

    let mut bot = workshop.start_bot(format!("unix:{}", socket.display()), world.folder());
    world.wait_for_commands(&mut bot).await;
    world.types("/sum 2 3");
    world.wait_for_answer("2 + 3 = 5", &mut bot).await;

    // What the gateway says at its end passes, and the bot comes back by itself.
    world.restart_gateway().await;
    world.types("/sum 20 30");
    world.wait_for_answer("20 + 30 = 50", &mut bot).await;
    let log = bot.log();
    assert!(log.contains("UNAVAILABLE GATEWAY_STOPPING"), "{log}");
    assert!(bot.terminate().await.success(), "{}", bot.log());

    bot = workshop.start_bot(&relay.address, world.folder());
    world.types("/sum 200 300");
    world.wait_for_answer("200 + 300 = 500", &mut bot).await;
    assert!(bot.terminate().await.success(), "{}", bot.log());

    assert_eq!(
        world.answers(),
        ["2 + 3 = 5", "20 + 30 = 50", "200 + 300 = 500"]
    );
    relay.life.begin_stop();
    assert!(relay.life.finished(Duration::from_secs(30)).await);
    world.stop().await;
}

#[tokio::test]
async fn python_bot_works_over_the_socket_of_the_gateway() {
    bot_works_over_the_socket_of_the_gateway(PYTHON).await;
}

#[tokio::test]
async fn node_bot_works_over_the_socket_of_the_gateway() {
    bot_works_over_the_socket_of_the_gateway(NODE).await;
}

async fn bot_works_over_the_socket_of_the_gateway(language: Language) {
    let workshop = Workshop::of(language).await;
    let world = World::start(language.bot_code).await;
    let socket = format!("unix:{}", world.socket().display());
    let mut bot = workshop.start_bot(socket, world.folder());
    world.wait_for_commands(&mut bot).await;
    world.types("/sum 2 3");
    world.wait_for_answer("2 + 3 = 5", &mut bot).await;
    assert!(bot.terminate().await.success(), "{}", bot.log());
    world.stop().await;
}
