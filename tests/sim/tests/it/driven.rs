//! A simulation that is driven over HTTP.

use bitrix24_sim::Control;
use serde_json::Value;

use crate::world::{Answer, Client, World};

/// A world, and somebody who drives it from outside.
pub(crate) struct Driven {
    pub(crate) world: World,
    pub(crate) control: Control,
    pub(crate) client: Client,
}

impl Driven {
    pub(crate) async fn new() -> Self {
        let world = World::new().await;
        let control = world.sim.open_control(0).await.unwrap();
        let client = Client::new(&world.sim, &control.address());
        Self {
            world,
            control,
            client,
        }
    }

    pub(crate) async fn ask(&self, verb: &str, path: &str, body: Value) -> Answer {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let path = format!("/_sim/v1{path}");
        let asked = self.client.ask(verb, &path, "application/json", body);
        asked.await.unwrap()
    }

    /// Asks about the first portal and expects a success.
    #[track_caller]
    pub(crate) fn portal(
        &self,
        verb: &str,
        path: &str,
        body: Value,
    ) -> impl Future<Output = Value> {
        let path = format!("/portals/1{path}");
        let verb = verb.to_owned();
        async move {
            let answer = self.ask(&verb, &path, body).await;
            assert_eq!(answer.status, 200, "{verb} {path}: {}", answer.raw);
            answer.body
        }
    }

    pub(crate) async fn refused(&self, verb: &str, path: &str, body: Value) -> (u16, String) {
        let answer = self.ask(verb, path, body).await;
        let field = answer.body["error"]["field"].as_str().unwrap();
        assert!(answer.body["error"]["rule"].is_string());
        (answer.status, field.to_owned())
    }
}
