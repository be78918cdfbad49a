//! Kubernetes service accounts.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bitrix24_gateway::proto::v1::{self as pb, bot_service_client::BotServiceClient};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING as ES256, EcdsaKeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::sleep,
};
use tonic::Status;

use super::{shown, unauthenticated};
use crate::scene::{Scene, told};

const ISSUER: &str = "https://kubernetes.default.svc";
const AUDIENCE: &str = "bitrix24-gateway";
const ACCOUNT: &str = "system:serviceaccount:chat:support";

fn text(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A cluster that signs tokens.
struct Cluster {
    id: &'static str,
    key: EcdsaKeyPair,
}

impl Cluster {
    fn new(id: &'static str) -> Self {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ES256, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ES256, key.as_ref(), &random).unwrap();
        Self { id, key }
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": self.id, "x": text(x), "y": text(y)})
    }

    fn keys(&self) -> String {
        json!({"keys": [self.jwk()]}).to_string()
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let said = format!("{}.{}", text(header.to_string()), text(claims.to_string()));
        let signature = self
            .key
            .sign(&SystemRandom::new(), said.as_bytes())
            .unwrap();
        format!("{said}.{}", text(signature))
    }

    fn header(&self) -> Value {
        json!({"alg": "ES256", "kid": self.id})
    }

    /// A token that lasts from now, by the scene's clock, for an hour.
    fn token(&self, scene: &Scene) -> String {
        self.sign(&self.header(), &claims(scene))
    }
}

fn now(scene: &Scene) -> i64 {
    scene.sim.clock().now().as_secs().try_into().unwrap()
}

fn claims(scene: &Scene) -> Value {
    let now = now(scene);
    json!({"iss": ISSUER, "aud": [AUDIENCE], "sub": ACCOUNT, "nbf": now, "iat": now, "exp": now + 3600})
}

fn with(mut claims: Value, key: &str, value: Value) -> Value {
    claims[key] = value;
    claims
}

fn settings(keys: &str) -> String {
    format!(
        "[callers.support]\nservice_account = [\"chat/support\"]\nportals = [\"*\"]\nrpcs = [\"read\"]\n\
         [service_accounts]\nissuer = {ISSUER:?}\naudience = {AUDIENCE:?}\n{keys}\n"
    )
}

/// A scene that reads the keys of this cluster from a file.
async fn scene(cluster: &Cluster) -> Scene {
    let scene = Scene::configured(|folder| {
        let path = folder.join("jwks.json");
        std::fs::write(&path, cluster.keys()).unwrap();
        settings(&format!("jwks_file = {:?}", path.display().to_string()))
    })
    .await;
    sleep(Duration::from_secs(1)).await;
    scene
}

async fn list(scene: &Scene, token: &str) -> Result<(), Status> {
    let mut bots = BotServiceClient::new(shown(&scene.channel(), token));
    bots.list_bots(pb::ListBotsRequest::default())
        .await
        .map(drop)
}

async fn refused(scene: &Scene, token: &str) {
    let status = list(scene, token).await.expect_err(token);
    assert_eq!(told(&status), unauthenticated(), "{token}");
    assert_eq!(status.message(), "the credential of the call is not valid");
}

#[tokio::test(start_paused = true)]
async fn account_is_a_caller_until_its_token_expires() {
    let cluster = Cluster::new("one");
    let scene = scene(&cluster).await;
    let token = cluster.token(&scene);
    list(&scene, &token).await.unwrap();
    let single = with(claims(&scene), "aud", json!(AUDIENCE));
    list(&scene, &cluster.sign(&cluster.header(), &single))
        .await
        .unwrap();
    sleep(Duration::from_secs(3590)).await;
    list(&scene, &token).await.unwrap();
    sleep(Duration::from_secs(30)).await;
    refused(&scene, &token).await;
}

#[tokio::test(start_paused = true)]
async fn token_with_other_claims_is_refused() {
    let cluster = Cluster::new("one");
    let scene = scene(&cluster).await;
    let (right, now) = (claims(&scene), now(&scene));
    for (key, value) in [
        ("exp", json!(now - 60)),
        ("exp", Value::Null),
        ("exp", json!("never")),
        ("exp", json!(i64::MAX)),
        ("nbf", json!(now + 60)),
        ("aud", json!(["https://kubernetes.default.svc"])),
        ("aud", json!([])),
        ("aud", Value::Null),
        ("iss", json!("https://another.example.org")),
        ("iss", Value::Null),
        ("sub", json!("system:serviceaccount:chat:another")),
        ("sub", json!("system:serviceaccount:support")),
        ("sub", json!("chat/support")),
        ("sub", Value::Null),
    ] {
        let token = cluster.sign(&cluster.header(), &with(right.clone(), key, value));
        refused(&scene, &token).await;
    }
}

#[tokio::test(start_paused = true)]
async fn token_that_no_key_of_the_cluster_signed_is_refused() {
    let (cluster, another) = (Cluster::new("one"), Cluster::new("one"));
    let scene = scene(&cluster).await;
    let (header, claims) = (cluster.header(), claims(&scene));
    let right = cluster.sign(&header, &claims);
    let (said, signature) = right.rsplit_once('.').unwrap();

    refused(&scene, &another.sign(&header, &claims)).await;
    // No signature, and a header that asks for none.
    refused(&scene, &format!("{said}.")).await;
    for alg in ["none", "None", "NONE", ""] {
        let header = json!({"alg": alg, "kid": "one"}).to_string();
        let said = format!("{}.{}", text(header), text(claims.to_string()));
        refused(&scene, &format!("{said}.")).await;
        refused(&scene, &format!("{said}.{signature}")).await;
    }
    // The public key as if it were a secret, in each form that it is known in.
    let jwk = cluster.jwk().to_string();
    for secret in [cluster.key.public_key().as_ref(), jwk.as_bytes()] {
        let header = json!({"alg": "HS256", "kid": "one"}).to_string();
        let said = format!("{}.{}", text(header), text(claims.to_string()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        refused(
            &scene,
            &format!("{said}.{}", text(hmac::sign(&key, said.as_bytes()))),
        )
        .await;
    }
    for header in [
        json!({"alg": "ES256"}),
        json!({"alg": "ES256", "kid": "unknown"}),
        json!({"alg": "ES384", "kid": "one"}),
        json!({"alg": "RS256", "kid": "one"}),
        json!({"alg": "ES256", "kid": "unknown", "jwk": another.jwk()}),
    ] {
        refused(&scene, &another.sign(&header, &claims)).await;
        if header["kid"] != "one" || header["alg"] != "ES256" {
            refused(&scene, &cluster.sign(&header, &claims)).await;
        }
    }
    refused(&scene, &format!("{right}.{signature}")).await;
    refused(&scene, &"a".repeat(9000)).await;
    list(&scene, &right).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn new_key_is_read_within_a_minute_of_its_first_token_and_an_old_one_ends() {
    let (old, new) = (Cluster::new("old"), Cluster::new("new"));
    let scene = scene(&old).await;
    let (earlier, later) = (old.token(&scene), new.token(&scene));
    list(&scene, &earlier).await.unwrap();
    let path = scene.folder().join("jwks.json");
    // What cannot be read changes nothing.
    std::fs::write(&path, "{\"keys\": []}").unwrap();
    refused(&scene, &later).await;
    sleep(Duration::from_secs(61)).await;
    list(&scene, &earlier).await.unwrap();
    std::fs::write(&path, new.keys()).unwrap();
    refused(&scene, &later).await;
    sleep(Duration::from_secs(61)).await;
    list(&scene, &later).await.unwrap();
    refused(&scene, &earlier).await;
}

#[tokio::test(start_paused = true)]
async fn keys_are_read_from_an_address_and_nobody_is_let_in_before() {
    let cluster = Cluster::new("one");
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let scene = Scene::configured(|folder| {
        let token = folder.join("token");
        std::fs::write(&token, "let-me-see\n").unwrap();
        let token = token.display().to_string();
        settings(&format!(
            "jwks_url = \"http://{address}/openid/v1/jwks\"\ntoken_file = {token:?}"
        ))
    })
    .await;
    let token = cluster.token(&scene);
    let status = list(&scene, &token).await.unwrap_err();
    assert_eq!(told(&status).reason, "GATEWAY_NOT_READY");
    let mut asked = Vec::new();
    for answer in ["500 Oops".to_owned(), "200 OK".to_owned()] {
        let (mut stream, _) = server.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.unwrap();
        asked.push(String::from_utf8(request[..length].to_vec()).unwrap());
        let body = cluster.keys();
        let answer = format!(
            "HTTP/1.1 {answer}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
    for request in asked {
        assert!(
            request.starts_with("GET /openid/v1/jwks HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(
            request.contains("authorization: Bearer let-me-see\r\n"),
            "{request}"
        );
        assert!(
            request.contains(&format!("host: {address}\r\n")),
            "{request}"
        );
    }
    sleep(Duration::from_secs(1)).await;
    list(&scene, &token).await.unwrap();
}
