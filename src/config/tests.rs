use std::{fs, path::Path, time::Duration};

use super::{ConfigError, Override, settings::*};
use crate::Report;

const ONE: &str = "[[mirror]]\nissuer = 'https://oidc.example.com'\n";

fn load(text: &str, set: &[&str]) -> Result<Settings, ConfigError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let overrides: Vec<_> = set
        .iter()
        .map(|text| Override::parse(text).unwrap())
        .collect();
    Settings::load(Some(file.path()), &overrides)
}

#[test]
fn one_mirror_needs_only_its_issuer() {
    let settings = load(ONE, &[]).unwrap();
    let [mirror] = settings.mirrors.as_slice() else {
        panic!()
    };
    assert_eq!(
        (mirror.name.as_str(), &mirror.credentials),
        ("default", &Credentials::Ambient)
    );
    assert_eq!(mirror.poll_interval, Duration::from_secs(15));
    assert!(settings.serve.is_none());
}

#[test]
fn keys_and_targets_are_kept_as_their_types_have_it_by_default() {
    let mirror = load(ONE, &[]).unwrap().mirrors.remove(0);
    assert_eq!(
        format!("{:?}", mirror.keys),
        format!("{:?}", Keys::default())
    );
    assert_eq!(
        format!("{:?}", mirror.upkeep),
        format!("{:?}", Upkeep::default())
    );
}

#[test]
fn limits_are_as_their_type_has_them_by_default() {
    let tls = ["serve.tls.cert-file=/c", "serve.tls.key-file=/k"];
    let listen = "serve.listen=['[::]:443', 'unix:/run/x.sock', 'systemd:https']";
    let serve = |set: &[&str]| {
        load(ONE, &[&[listen], set].concat())
            .unwrap()
            .serve
            .unwrap()
    };
    let usual = format!("{:?}", Limits::default());
    assert_eq!(format!("{:?}", serve(&tls).limits), usual);
    let addresses = serve(&tls).listen.into_iter().map(|it| it.to_string());
    let addresses: Vec<_> = addresses.collect();
    assert_eq!(addresses, ["[::]:443", "unix:/run/x.sock", "systemd:https"]);
    // A quarter for one address, unless all clients come by way of a proxy that hides them.
    for (set, share) in [
        (&[][..], 0),
        (&["serve.proxy-protocol=true"], 1024),
        (&["serve.proxy-protocol=true", "serve.max-connections=2"], 2),
        (&["serve.max-connections-per-address=7"], 7),
    ] {
        assert_eq!(
            serve(set).limits.max_connections_per_address,
            share,
            "{set:?}"
        );
    }
}

#[test]
fn every_setting_about_keys_is_understood() {
    let settings = load(
        ONE,
        &[
            "state-dir=/var/lib/oidc-mirror",
            "publisher=node-1",
            "admin.listen=127.0.0.1:9443",
            "mirror.retain-keys=30d",
            "mirror.publisher-expiry=30d",
            "mirror.max-stale=72h",
            "mirror.admission=pinned",
            "mirror.pinned-keys=['a']",
            "mirror.revoked-keys=['b']",
            "mirror.extra-keys=['/etc/next.pub']",
            "mirror.on-drift=report",
            "mirror.read-back=false",
        ],
    )
    .unwrap();
    assert_eq!(settings.publisher.as_deref(), Some("node-1"));
    assert_eq!(settings.admin.unwrap().listen.port(), 9443);
    let Mirror { keys, upkeep, .. } = &settings.mirrors[0];
    assert_eq!(keys.policy.retain_keys, Duration::from_hours(30 * 24));
    assert_eq!(keys.max_stale, Some(Duration::from_hours(72)));
    assert_eq!(keys.policy.pinned.len() + keys.policy.revoked.len(), 2);
    assert_eq!(keys.extra_files, [Path::new("/etc/next.pub")]);
    assert_eq!(
        (upkeep.on_drift, upkeep.read_back),
        (OnDrift::Report, false)
    );
}

#[test]
fn overrides_reach_every_key_without_a_file() {
    let overrides = [
        Override::flag("--issuer", "mirror.issuer", "https://oidc.example.com"),
        Override::parse("mirror.0.poll-interval=5s").unwrap(),
        Override::parse("mirror.target.url=s3://bucket/a/b/").unwrap(),
        Override::parse("mirror.target.path-style = true").unwrap(),
        Override::parse("serve.listen=['127.0.0.1:0', '[::1]:0']").unwrap(),
    ];
    let settings = Settings::load(None, &overrides).unwrap();
    assert_eq!(settings.mirrors[0].poll_interval, Duration::from_secs(5));
    let [Target::S3(target)] = settings.mirrors[0].targets.as_slice() else {
        panic!()
    };
    assert_eq!(
        (
            target.bucket.as_str(),
            target.prefix.as_str(),
            target.path_style
        ),
        ("bucket", "a/b", true)
    );
    assert_eq!(settings.serve.unwrap().listen.len(), 2);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn what_cannot_be_believed_is_refused_by_key_and_value() {
    let two = |rest: &str| {
        format!(
            "[[mirror]]\nname = 'a'\n{}\n[[mirror]]\n{rest}",
            ONE.trim_start_matches("[[mirror]]\n")
        )
    };
    for (text, set, expected) in [
        (String::new(), &[][..], "mirror.issuer is missing"),
        ("nonsense".into(), &[], "line 1"),
        (
            "[[mirror]]\nissuerr = 'x'".into(),
            &[],
            "unknown field `issuerr`",
        ),
        ("[mirror]".into(), &[], "sequence"),
        (
            "[[mirror]]\nissuer = 'http://x.example'".into(),
            &[],
            "mirror.issuer = \"http://x.example\": ",
        ),
        (
            "[[mirror]]\nissuer = 'https://x.example/?q'".into(),
            &[],
            "no query",
        ),
        (
            "[[mirror]]\nissuer = 'https://x.example/#f'".into(),
            &[],
            "no fragment",
        ),
        (
            "[[mirror]]\nissuer = 'https://x.example/.well-known/openid-configuration'".into(),
            &[],
            "the issuer is the part before",
        ),
        (
            two("name = 'b'\nissuer = 'https://oidc.example.com'"),
            &[],
            "an issuer of its own",
        ),
        (
            two("name = 'b'\nissuer = 'https://oidc.example.com:8443/'"),
            &[],
            "an issuer of its own",
        ),
        (
            two("name = 'a'\nissuer = 'https://b.example.com'"),
            &[],
            "two mirrors are named \"a\"",
        ),
        (
            two("issuer = 'https://b.example.com'"),
            &[],
            "mirror.1.name is missing",
        ),
        (
            two("name = 'b'\nissuer = 'https://b.example.com'"),
            &["mirror.0.target.url=s3://x", "mirror.1.target.url=s3://x/"],
            "two targets are s3://x",
        ),
        (
            two("name = 'b'\nissuer = 'https://b.example.com'"),
            &["mirror.timeout=5s"],
            "say which one: mirror.0",
        ),
        (
            ONE.into(),
            &["mirror.timeout=soon"],
            "mirror.timeout = \"soon\": a duration is written",
        ),
        (ONE.into(), &["mirror.timeout=0s"], "between 1s and 24h"),
        (
            ONE.into(),
            &["mirror.retain-keys=2y"],
            "between 1s and 365d",
        ),
        (
            ONE.into(),
            &["mirror.retain-keys=8d"],
            "mirror.publisher-expiry is shorter than retain-keys",
        ),
        (
            ONE.into(),
            &["mirror.admission=pinned"],
            "mirror.pinned-keys and admission = \"pinned\" go together",
        ),
        (
            ONE.into(),
            &["mirror.pinned-keys=['a']"],
            "mirror.pinned-keys and admission = \"pinned\" go together",
        ),
        (
            ONE.into(),
            &["mirror.admission=hold"],
            "state-dir is missing",
        ),
        (
            ONE.into(),
            &["mirror.revoked-keys=['']"],
            "by its kid or its RFC 7638 thumbprint",
        ),
        (
            ONE.into(),
            &["publisher=\"a\\nb\""],
            "a name is short and printable",
        ),
        (
            ONE.into(),
            &["admin.listen=localhost"],
            "an address is written 127.0.0.1:9443",
        ),
        (
            ONE.into(),
            &["mirror.timeoutt=5s"],
            "--set mirror.timeoutt=5s: unknown field",
        ),
        (
            ONE.into(),
            &["mirror.2.timeout=5s"],
            "there is no mirror.2: the next one is mirror.1",
        ),
        (
            ONE.into(),
            &["mirror.issuer.x=5s"],
            "issuer holds no further settings",
        ),
        (
            ONE.into(),
            &["mirror.upstreams=['http://x']"],
            "reached by https",
        ),
        (
            ONE.into(),
            &["mirror.upstreams=['https://x/api']"],
            "only scheme, host and port",
        ),
        (
            ONE.into(),
            &["mirror.upstreams=['https://x', 'https://x:443']"],
            "listed twice",
        ),
        (
            ONE.into(),
            &["mirror.token-file=/t"],
            "mirror.upstreams is missing",
        ),
        (
            ONE.into(),
            &["mirror.token-file=/t", "mirror.context=x"],
            "choose one",
        ),
        (
            ONE.into(),
            &["mirror.on-issuer-mismatch=ignore"],
            "unknown variant `ignore`",
        ),
        (
            ONE.into(),
            &[
                "mirror.cache-control='a\\nb'",
                "mirror.cache-control=\"a\\nb\"",
            ],
            "not a header value",
        ),
        (
            ONE.into(),
            &["mirror.discovery-members.jwks_uri=x"],
            "computes this member itself",
        ),
        (
            ONE.into(),
            &["mirror.target.url=ftp://x"],
            "a target is s3://",
        ),
        (
            ONE.into(),
            &["mirror.target.url=s3:///x"],
            "s3://bucket/prefix",
        ),
        (
            ONE.into(),
            &["mirror.target.url=file:///x", "mirror.target.region=y"],
            "no settings but its url",
        ),
        (
            ONE.into(),
            &["serve.max-connections=5"],
            "serve.listen is missing",
        ),
        (
            ONE.into(),
            &["serve.listen=['localhost:80']"],
            "an address is written",
        ),
        (
            ONE.into(),
            &["serve.listen=['unix:relative']"],
            "an address is written",
        ),
        (
            ONE.into(),
            &["serve.listen=['systemd:']"],
            "an address is written",
        ),
        (
            ONE.into(),
            &["serve.listen=['[::]:80']", "serve.max-connections=0"],
            "from 1 to",
        ),
        (
            ONE.into(),
            &["serve.listen=['[::]:80']", "serve.max-header-bytes=100"],
            "serve.max-header-bytes = \"100\": a number from 8192 to 1048576",
        ),
        (
            ONE.into(),
            &["serve.listen=['[::]:80']", "serve.max-streams=0"],
            "from 1 to 1024",
        ),
        (
            ONE.into(),
            &["serve.listen=['[::]:80']", "serve.tls.cert-file=x"],
            "serve.tls.key-file is missing",
        ),
    ] {
        let error = load(&text, set).unwrap_err();
        let message = Report(&error).to_string();
        assert!(message.contains(expected), "{text:?} {set:?}: {message}");
    }
}

#[test]
fn a_password_in_an_address_is_not_repeated() {
    let error = load(ONE, &["mirror.upstreams=['https://me:hunter2@x']"]).unwrap_err();
    assert!(!format!("{error:?} {}", Report(&error)).contains("hunter2"));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = Settings::load(Some(Path::new("/no/such/mirror.toml")), &[]).unwrap_err();
    assert!(
        Report(&error)
            .to_string()
            .contains("/no/such/mirror.toml: No such file")
    );
}

/// The least that ACME needs.
const ACME: [&str; 3] = [
    "state-dir=/var/lib/oidc-mirror",
    "serve.listen=['[::]:443']",
    "serve.acme.terms-of-service-agreed=true",
];

fn load_acme(more: &[&str]) -> Result<Acme, ConfigError> {
    let settings = load(ONE, &[&ACME, more].concat())?;
    match settings.serve.unwrap().tls {
        Some(Tls::Acme(acme)) => Ok(*acme),
        tls => panic!("{tls:?}"),
    }
}

#[test]
fn acme_has_a_certificate_for_each_issuer_from_lets_encrypt_by_default() {
    let acme = load_acme(&[]).unwrap();
    assert_eq!(
        acme.directory.as_str(),
        "https://acme-v02.api.letsencrypt.org/directory"
    );
    assert_eq!(acme.domains, ["oidc.example.com"]);
    assert_eq!(acme.challenge, Challenge::TlsAlpn01);
    assert_eq!(acme.keep_in, Path::new("/var/lib/oidc-mirror/acme"));
}

#[test]
fn every_setting_about_acme_is_understood() {
    let acme = load_acme(&[
        "serve.acme.directory=https://ca.example.net/acme/directory",
        "serve.acme.ca-file=/etc/ca.crt",
        "serve.acme.contact=['mailto:ops@example.com']",
        "serve.acme.challenge=http-01",
        "serve.acme.http-listen=['[::]:80', '127.0.0.1:80']",
        "serve.acme.external-account={ key-id = 'kid-1', key-file = '/etc/key' }",
        "serve.acme.domains=['A.example.com', 'b.example.com', 'a.example.com']",
    ])
    .unwrap();
    assert_eq!(acme.directory.host_str(), Some("ca.example.net"));
    assert_eq!(acme.ca_file.as_deref(), Some(Path::new("/etc/ca.crt")));
    let Challenge::Http01 { listen } = &acme.challenge else {
        panic!()
    };
    assert_eq!((listen.len(), acme.contact.len()), (2, 1));
    assert_eq!(acme.domains, ["a.example.com", "b.example.com"]);
    assert_eq!(acme.external_account.unwrap().key_id, "kid-1");
}

#[test]
fn acme_is_refused_without_what_it_needs() {
    for (left_out, expected) in [
        (0, "state-dir is missing"),
        (2, "terms-of-service-agreed is missing"),
    ] {
        let mut set = ACME;
        set[left_out] = "serve.acme.contact=[]";
        let message = Report(&load(ONE, &set).unwrap_err()).to_string();
        assert!(message.contains(expected), "{message}");
    }
    let acme = |setting: &str| format!("serve.acme.{setting}");
    for (set, expected) in [
        (acme("terms-of-service-agreed=false"), "read the CA's terms"),
        (acme("directory=http://ca.example.net"), "reached by https"),
        (
            acme("directory=https://me:hunter2@ca.example.net"),
            "= \"…\"",
        ),
        (acme("contact=['ops']"), "mailto:"),
        (acme("challenge=dns-01"), "dns-01"),
        (acme("challenge=http-01"), "http-listen is missing"),
        (
            acme("http-listen=['[::]:80']"),
            "\"tls-alpn-01\" is answered",
        ),
        (acme("domains=[]"), "serve.acme.domains is missing"),
        (acme("domains=['10.0.0.1']"), "use files for an IP address"),
        (acme("domains=['*.example.com']"), "without *"),
        (
            acme("external-account.key-id=x"),
            "external-account.key-file is missing",
        ),
        ("serve.tls.cert-file=x".to_owned(), "choose one"),
    ] {
        let message = Report(&load_acme(&[&set]).unwrap_err()).to_string();
        assert!(message.contains(expected), "{set}: {message}");
    }
}
