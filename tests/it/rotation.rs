//! Keys that come, go, and differ between the API servers of one cluster.

use std::time::Duration;

use http::StatusCode;
use oidc_mirror::demo::SigningKey;
use serde_json::{Value, json};

use crate::support::{
    ApiServer, JWKS, Reply, p256, rsa,
    service::{Plan, Running, rounds_pass},
};

const ISSUER: &str = "https://oidc.example.com/prod";

fn lists(keys: &[&SigningKey]) -> ApiServer {
    ApiServer::listing(ISSUER, keys)
}

async fn mirror(servers: &[&ApiServer]) -> Running {
    Plan::new().mirror(ISSUER, servers).start().await
}

#[tokio::test]
async fn the_first_documents_are_the_clusters_for_the_public_issuer() {
    let (first, second) = (p256(), rsa());
    let server = lists(&[&first, &second]);
    let service = mirror(&[&server]).await;
    let documents = service.documents(ISSUER).await;
    let jwks: Value = serde_json::from_slice(&documents.jwks.body).unwrap();
    assert_eq!(jwks, json!({"keys": [first.jwk(), second.jwk()]}));
    let discovery: Value = serde_json::from_slice(&documents.discovery.body).unwrap();
    assert_eq!(
        discovery,
        json!({
            "issuer": ISSUER,
            "jwks_uri": "https://oidc.example.com/prod/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256", "RS256"],
            "authorization_endpoint": "urn:kubernetes:programmatic_authorization",
            "claims_supported": ["sub", "iss"],
        })
    );
}

#[tokio::test]
async fn a_key_added_on_one_api_server_is_there_one_poll_later() {
    let (old, new) = (p256(), rsa());
    let servers = [lists(&[&old]), lists(&[&old])];
    let service = mirror(&[&servers[0], &servers[1]]).await;
    let before = service.documents_with(ISSUER, &[old.kid()]).await;
    servers[1].set_keys(&[&old, &new]);
    rounds_pass(&servers[1]).await;
    let after = service.present(ISSUER).await.unwrap();
    assert_eq!(after.kids(), [old.kid(), new.kid()]);
    assert_ne!(after.jwks.headers["etag"], before.jwks.headers["etag"]);
    // It signs with another algorithm, which the other document has to name.
    let discovery: Value = serde_json::from_slice(&after.discovery.body).unwrap();
    assert_eq!(
        discovery["id_token_signing_alg_values_supported"],
        json!(["ES256", "RS256"])
    );
}

#[tokio::test]
async fn a_key_that_every_api_server_has_dropped_stays_behind_the_others() {
    let (old, new) = (p256(), p256());
    let servers = [lists(&[&old, &new]), lists(&[&old, &new])];
    let service = mirror(&[&servers[0], &servers[1]]).await;
    let both = service
        .documents_with(ISSUER, &[old.kid(), new.kid()])
        .await;
    servers[1].set_keys(&[&new]);
    rounds_pass(&servers[1]).await;
    assert!(service.present(ISSUER).await.unwrap() == both);
    servers[0].set_keys(&[&new]);
    rounds_pass(&servers[0]).await;
    let after = service.present(ISSUER).await.unwrap();
    assert_eq!(after.kids(), [new.kid(), old.kid()]);
}

#[tokio::test]
async fn api_servers_that_differ_are_united_in_their_configured_order() {
    let [shared, one, two, three] = [p256(), p256(), p256(), p256()];
    let servers = [
        lists(&[&two, &shared]),
        lists(&[&shared, &one]),
        lists(&[&three]),
    ];
    // The first is the last to answer.
    servers[0].always(JWKS, Reply::late(Duration::from_millis(100)));
    let service = mirror(&[&servers[0], &servers[1], &servers[2]]).await;
    let united = [&two, &shared, &one, &three].map(SigningKey::kid);
    let documents = service.documents_with(ISSUER, &united).await;
    rounds_pass(&servers[0]).await;
    assert!(service.present(ISSUER).await.unwrap() == documents);
}

#[tokio::test]
async fn equal_keys_give_equal_bytes_and_entity_tags_everywhere() {
    let keys = [p256(), rsa(), p256()];
    let [a, b, c] = keys.each_ref();
    // One cluster from a single server, the same from two that differ.
    let whole = lists(&[a, b, c]);
    let parts = [lists(&[a, b]), lists(&[b, c])];
    let kids = [a, b, c].map(SigningKey::kid);
    let service = mirror(&[&whole]).await;
    let documents = service.documents_with(ISSUER, &kids).await;
    let replica = mirror(&[&parts[0], &parts[1]]).await;
    assert!(replica.documents_with(ISSUER, &kids).await == documents);
    service.stop().await;
    let restarted = mirror(&[&whole]).await;
    assert!(restarted.documents_with(ISSUER, &kids).await == documents);
}

#[tokio::test]
async fn documents_of_another_issuer_are_published_for_the_switch_to_come() {
    let key = p256();
    let server = lists(&[&key]);
    server.set_issuer("https://kubernetes.default.svc");
    let service = mirror(&[&server]).await;
    let documents = service.documents_with(ISSUER, &[key.kid()]).await;
    let discovery: Value = serde_json::from_slice(&documents.discovery.body).unwrap();
    assert_eq!(discovery["issuer"], ISSUER);
    server.set_issuer(ISSUER);
    rounds_pass(&server).await;
    assert!(service.present(ISSUER).await.unwrap() == documents);
}

#[tokio::test]
async fn where_another_issuer_is_refused_the_documents_wait_until_it_agrees() {
    let (old, new) = (p256(), p256());
    let server = lists(&[&old]);
    server.set_issuer("https://kubernetes.default.svc");
    let service = Plan::new()
        .mirror(ISSUER, &[&server])
        .set("mirror.on-issuer-mismatch=refuse")
        .start()
        .await;
    rounds_pass(&server).await;
    let answer = service
        .get("https://oidc.example.com/prod/openid/v1/jwks")
        .await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);

    server.set_issuer(ISSUER);
    let documents = service.documents_with(ISSUER, &[old.kid()]).await;
    // An API server of another cluster, perhaps: its key must not get in.
    server.set_issuer("https://kubernetes.default.svc");
    server.set_keys(&[&old, &new]);
    rounds_pass(&server).await;
    assert!(service.present(ISSUER).await.unwrap() == documents);
    server.set_issuer(ISSUER);
    service
        .documents_with(ISSUER, &[old.kid(), new.kid()])
        .await;
}
