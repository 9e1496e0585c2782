//! Whatever happens to an API server, a running service keeps its last good documents.

use std::time::Duration;

use futures_util::future::join_all;
use http::{
    StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use oidc_mirror::demo::SigningKey;

use crate::support::{
    ApiServer, DISCOVERY, JWKS, Reply, Tls, jwks, p256,
    service::{Documents, Plan, Running, asked, rounds_pass},
};

const ISSUER: &str = "https://oidc.example.com";

fn lists(keys: &[&SigningKey]) -> ApiServer {
    let server = ApiServer::start();
    server.set_keys(keys);
    server
}

/// A mirror of two API servers with a key each. The second stays well: what it is asked tells how
/// many rounds have passed, whatever becomes of the first.
struct Scene {
    keys: [SigningKey; 2],
    service: Running,
    sick: ApiServer,
    well: ApiServer,
    before: Documents,
}

impl Scene {
    async fn set() -> Self {
        let keys = [p256(), p256()];
        let (sick, well) = (lists(&[&keys[0]]), lists(&[&keys[1]]));
        let service = Plan::new()
            .mirror(ISSUER, &[&sick, &well])
            .set("mirror.timeout=1s")
            .start()
            .await;
        let kids = keys.each_ref().map(SigningKey::kid);
        let before = service.documents_with(ISSUER, &kids).await;
        Self {
            keys,
            service,
            sick,
            well,
            before,
        }
    }

    /// Rounds pass in which nothing changes what is served.
    async fn assert_unmoved(&self, outage: &str) {
        rounds_pass(&self.well).await;
        let after = self.service.present(ISSUER).await;
        assert!(after.as_ref() == Some(&self.before), "{outage}: {after:?}");
    }

    /// The first API server is read again: its new key appears.
    async fn assert_healed(&self) {
        let [old, other] = &self.keys;
        let new = p256();
        self.sick.set_keys(&[old, &new]);
        let kids = [old, &new, other].map(SigningKey::kid);
        self.service.documents_with(ISSUER, &kids).await;
    }
}

#[tokio::test]
async fn answers_that_are_no_documents_leave_the_last_good_ones() {
    let stranger = p256();
    let private = jwks(std::slice::from_ref(&stranger)).replace(r#""kty""#, r#""d":"AAAA","kty""#);
    let two_keys = [p256(), stranger.clone()];
    let conflict = jwks(&two_keys).replace(two_keys[0].kid(), stranger.kid());
    let twice = format!(r#"{{"keys":[],"keys":{}}}"#, jwks(&two_keys));
    // What would do harm if only the status or the type were overlooked.
    let good = jwks(std::slice::from_ref(&stranger));
    let page = Reply::status(200, good.clone()).header(CONTENT_TYPE, "text/html");
    let elsewhere = lists(&[&stranger]);
    elsewhere.allow_anonymous();
    let replies = [
        Reply::late(Duration::from_secs(60)),
        Reply::status(401, good.clone()),
        Reply::status(403, good.clone()),
        Reply::status(404, r#"{"paths":["/livez"]}"#),
        Reply::status(406, good.clone()),
        Reply::status(429, good.clone()).header(RETRY_AFTER, "1"),
        Reply::status(500, good.clone()),
        Reply::status(503, good.clone()).header(RETRY_AFTER, "1"),
        Reply::redirect(elsewhere.url().join(JWKS).unwrap().as_str()),
        page,
        Reply::body("not JSON"),
        Reply::body(""),
        Reply::body("{}"),
        Reply::body(r#"{"keys":[]}"#),
        Reply::body(private),
        Reply::body(conflict),
        Reply::body(twice),
        Reply::gzip_bomb(),
        Reply::Oversize,
        Reply::OversizeDeclared,
        Reply::CutOff,
        Reply::Close,
    ];
    let cases = replies.into_iter().map(async |reply| {
        let scene = Scene::set().await;
        let before = asked(&scene.sick);
        scene.sick.always(JWKS, reply.clone());
        scene.sick.set_keys(&[&stranger]);
        scene.assert_unmoved(&format!("{reply:?}")).await;
        assert!(asked(&scene.sick) > before, "{reply:?}");
        scene.sick.behave();
        scene.assert_healed().await;
    });
    join_all(cases).await;
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn a_bad_discovery_document_leaves_the_last_good_documents() {
    let replies = [
        Reply::status(404, ""),
        Reply::body("{}"),
        Reply::body(r#"{"issuer":7}"#),
        Reply::Oversize,
    ];
    let cases = replies.into_iter().map(async |reply| {
        let scene = Scene::set().await;
        scene.sick.always(DISCOVERY, reply.clone());
        rounds_pass(&scene.well).await;
        // Keys that come with it are not used either.
        scene.sick.set_keys(&[&p256()]);
        scene.assert_unmoved(&format!("{reply:?}")).await;
        scene.sick.behave();
        scene.assert_healed().await;
    });
    join_all(cases).await;
}

#[tokio::test]
async fn an_api_server_that_is_gone_leaves_the_last_good_documents() {
    let mut scene = Scene::set().await;
    scene.sick.stop().await;
    // It would have had other keys; nobody can know.
    scene.sick.set_keys(&[&p256()]);
    scene.assert_unmoved("gone").await;
    scene.sick.restart();
    scene.assert_healed().await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_verified_leaves_the_last_good_documents() {
    let kinds = [Tls::Expired, Tls::WrongAuthority, Tls::WrongName];
    let cases = kinds.into_iter().map(async |kind| {
        let mut scene = Scene::set().await;
        scene.sick.restart_with(kind).await;
        let before = asked(&scene.sick);
        scene.sick.set_keys(&[&p256()]);
        scene.assert_unmoved(&format!("{kind:?}")).await;
        assert_eq!(asked(&scene.sick), before, "{kind:?}");
        scene.sick.restart_with(Tls::Right).await;
        scene.assert_healed().await;
    });
    join_all(cases).await;
}

#[tokio::test]
async fn api_servers_that_contradict_each_other_leave_the_last_good_documents() {
    let scene = Scene::set().await;
    let [key, other] = &scene.keys;
    // The kid of the one with the material of the other.
    let contradiction = jwks(std::slice::from_ref(key)).replace(key.kid(), other.kid());
    let before = asked(&scene.sick);
    scene.sick.always(JWKS, Reply::body(contradiction));
    scene.assert_unmoved("one kid, two keys").await;
    assert!(asked(&scene.sick) > before);
    scene.sick.behave();
    scene.assert_healed().await;
}

#[tokio::test]
async fn a_cluster_that_is_gone_as_a_whole_leaves_the_last_good_documents() {
    let scene = Scene::set().await;
    for server in [&scene.sick, &scene.well] {
        server.always(JWKS, Reply::status(503, ""));
    }
    scene.assert_unmoved("all of them").await;
    for server in [&scene.sick, &scene.well] {
        server.behave();
    }
    scene.assert_healed().await;
}

#[tokio::test]
async fn a_token_that_was_replaced_heals_without_a_restart() {
    let key = p256();
    let server = lists(&[&key]);
    let service = Plan::new().mirror(ISSUER, &[&server]).start().await;
    let before = service.documents_with(ISSUER, &[key.kid()]).await;
    server.set_token("token-2");
    rounds_pass(&server).await;
    assert!(service.present(ISSUER).await.unwrap() == before);
    let new = p256();
    server.set_keys(&[&key, &new]);
    service.plan().write_token(0, "token-2");
    service
        .documents_with(ISSUER, &[key.kid(), new.kid()])
        .await;
}

#[tokio::test]
async fn one_api_server_is_enough_to_begin_with() {
    let (here, there) = (p256(), p256());
    let (well, mut gone) = (lists(&[&here]), lists(&[&there]));
    gone.stop().await;
    let service = Plan::new().mirror(ISSUER, &[&gone, &well]).start().await;
    service.documents_with(ISSUER, &[here.kid()]).await;
    gone.restart();
    service
        .documents_with(ISSUER, &[there.kid(), here.kid()])
        .await;
}

#[tokio::test]
async fn before_the_first_documents_relying_parties_are_asked_to_come_back() {
    let key = p256();
    let server = lists(&[&key]);
    server.always(JWKS, Reply::status(503, ""));
    let service = Plan::new().mirror(ISSUER, &[&server]).start().await;
    rounds_pass(&server).await;
    for path in [DISCOVERY, JWKS] {
        let answer = service.get(&format!("{ISSUER}{path}")).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        let pause = answer.headers[RETRY_AFTER].to_str().unwrap();
        assert!((1..60).contains(&pause.parse::<u32>().unwrap()), "{pause}");
        // A cache must not keep it.
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    server.behave();
    service.documents_with(ISSUER, &[key.kid()]).await;
}
