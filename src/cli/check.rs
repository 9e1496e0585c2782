//! `check`: what was understood of the configuration, for people.

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

use super::Exit;
use crate::config::settings::{
    Address, Challenge, Credentials, KeyPairFiles, Keys, Limits, Mirror, OnDrift, OnIssuerMismatch,
    Serve, Settings, Target, Tls, Upkeep,
};
use crate::oidc::{Admission, Policy};

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
#[expect(clippy::needless_pass_by_value, reason = "as every subcommand")]
pub(super) fn execute(settings: Settings) -> Exit {
    print!("{}", Summary(&settings));
    Exit::Done
}

/// The settings as a table.
struct Summary<'a>(&'a Settings);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings {
            state_dir,
            publisher,
            mirrors,
            serve,
            admin,
        } = self.0;
        let state_dir = state_dir.as_ref().map(|path| path.display().to_string());
        let publisher = publisher.as_deref().unwrap_or("the name of this host");
        for (name, value) in [
            (
                "state-dir",
                state_dir.as_deref().unwrap_or("none: memory only"),
            ),
            ("publisher", publisher),
        ] {
            writeln!(f, "{name:<22}{value}")?;
        }
        for mirror in mirrors {
            writeln!(f, "mirror {}", mirror.name)?;
            for (name, value) in mirror_rows(mirror) {
                writeln!(f, "  {name:<20}{value}")?;
            }
        }
        match serve {
            None => writeln!(f, "serve nothing")?,
            Some(serve) => {
                writeln!(f, "serve")?;
                for (name, value) in serve_rows(serve) {
                    writeln!(f, "  {name:<20}{value}")?;
                }
            }
        }
        match admin {
            None => writeln!(f, "admin nothing"),
            Some(admin) => writeln!(f, "admin\n  {:<20}{}", "listen", admin.listen),
        }
    }
}

type Row = (&'static str, String);

fn mirror_rows(mirror: &Mirror) -> Vec<Row> {
    let mismatch = match mirror.on_issuer_mismatch {
        OnIssuerMismatch::Publish => "publish and warn",
        OnIssuerMismatch::Refuse => "keep the last documents",
    };
    let mut rows = vec![
        ("issuer", mirror.issuer.to_string()),
        ("discovery document", mirror.issuer.discovery_url()),
        ("keys", mirror.issuer.jwks_url()),
    ];
    rows.extend(
        mirror
            .issuer
            .warnings()
            .into_iter()
            .map(|warning| ("  warning", warning.to_owned())),
    );
    match mirror.upstreams.as_slice() {
        [] => rows.push((
            "upstream",
            "the address that the credentials name".to_owned(),
        )),
        upstreams => rows.extend(upstreams.iter().map(|url| ("upstream", url.to_string()))),
    }
    rows.extend([
        ("credentials", credentials(&mirror.credentials)),
        ("poll-interval", shown_duration(mirror.poll_interval)),
        ("timeout", shown_duration(mirror.timeout)),
        ("on-issuer-mismatch", mismatch.to_owned()),
        ("cache-control", shown(&mirror.metadata.cache_control)),
        (
            "jwks-content-type",
            shown(&mirror.metadata.jwks_content_type),
        ),
    ]);
    rows.extend(
        mirror
            .discovery_members
            .iter()
            .map(|(name, value)| ("discovery member", format!("{name} = {value}"))),
    );
    rows.extend(key_rows(&mirror.keys));
    rows.extend(
        mirror
            .targets
            .iter()
            .map(|target| ("target", target_row(target))),
    );
    if !mirror.targets.is_empty() {
        rows.extend(upkeep_rows(mirror.upkeep));
    }
    rows.push(("read-back", yes_or_no(mirror.upkeep.read_back)));
    rows
}

fn key_rows(keys: &Keys) -> Vec<Row> {
    let Policy {
        retain_keys,
        admission,
        pinned,
        revoked,
        ..
    } = &keys.policy;
    let admission = match admission {
        Admission::Auto => "every key".to_owned(),
        Admission::Hold => "new keys are held until they are approved".to_owned(),
        Admission::Pinned => format!("only {} pinned", pinned.len()),
    };
    let mut rows = vec![
        ("retain-keys", shown_duration(*retain_keys)),
        ("admission", admission),
    ];
    rows.extend(keys.max_stale.map(|it| ("max-stale", shown_duration(it))));
    rows.extend(revoked.iter().map(|name| ("revoked key", name.to_string())));
    let files = keys.extra_files.iter();
    rows.extend(files.map(|path| ("extra keys", path.display().to_string())));
    let cache = shown_duration(keys.relying_party_cache);
    rows.push(("relying-party-cache", cache));
    rows
}

fn upkeep_rows(upkeep: Upkeep) -> Vec<Row> {
    let on_drift = match upkeep.on_drift {
        OnDrift::Repair => "repair and say so",
        OnDrift::Report => "say so and leave it",
    };
    vec![
        (
            "reconcile-interval",
            shown_duration(upkeep.reconcile_interval),
        ),
        ("on-drift", on_drift.to_owned()),
        ("publisher-expiry", shown_duration(upkeep.publisher_expiry)),
    ]
}

fn shown_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

fn credentials(credentials: &Credentials) -> String {
    match credentials {
        Credentials::Ambient => {
            "the in-cluster service account if there is one, else the current kubeconfig".to_owned()
        }
        Credentials::Files(files) => {
            let mut parts = Vec::new();
            parts.extend(
                files
                    .token_file
                    .as_ref()
                    .map(|path| format!("token {}", path.display())),
            );
            parts.extend(
                files
                    .client_certificate
                    .as_ref()
                    .map(|pair| format!("client certificate {}", shown_pair(pair))),
            );
            parts.push(files.ca_file.as_ref().map_or_else(
                || "the system's CAs".to_owned(),
                |path| format!("CA {}", path.display()),
            ));
            parts.extend(
                files
                    .server_name
                    .as_ref()
                    .map(|name| format!("server name {name}")),
            );
            parts.join(", ")
        }
        Credentials::Kubeconfig { file, context } => {
            let file = file.as_ref().map_or_else(
                || "KUBECONFIG or ~/.kube/config".to_owned(),
                |path| path.display().to_string(),
            );
            let context = context.as_deref().unwrap_or("the current one");
            format!("kubeconfig {file}, context {context}")
        }
    }
}

fn target_row(target: &Target) -> String {
    let mut row = target.to_string();
    if let Target::S3(target) = target {
        let region = target
            .region
            .as_deref()
            .unwrap_or("from the environment or profile");
        _ = write!(row, ", region {region}");
        if let Some(endpoint) = &target.endpoint {
            let style = if target.path_style { "path" } else { "host" };
            _ = write!(row, ", endpoint {endpoint} with the bucket in the {style}");
        }
        if let Some(profile) = &target.profile {
            _ = write!(row, ", profile {profile}");
        }
    }
    row
}

fn serve_rows(serve: &Serve) -> Vec<Row> {
    let mut rows: Vec<_> = serve
        .listen
        .iter()
        .map(|address| ("listen", address.to_string()))
        .collect();
    rows.extend(tls_rows(serve.tls.as_ref()));
    rows.extend([
        ("proxy-protocol", yes_or_no(serve.proxy_protocol)),
        ("access-log", yes_or_no(serve.access_log)),
    ]);
    rows.extend(limit_rows(&serve.limits));
    rows.push(("shutdown-grace", shown_duration(serve.shutdown_grace)));
    rows
}

fn limit_rows(limits: &Limits) -> Vec<Row> {
    let any = |number: u64| match number {
        0 => "any number".to_owned(),
        number => number.to_string(),
    };
    let per_address = u64::try_from(limits.max_connections_per_address).unwrap_or(u64::MAX);
    let head = format!("{} bytes", limits.max_header_bytes);
    vec![
        ("connections", limits.max_connections.to_string()),
        ("  per address", any(per_address)),
        (
            "  requests on each",
            any(limits.max_requests_per_connection),
        ),
        (
            "handshake-timeout",
            shown_duration(limits.handshake_timeout),
        ),
        ("header-timeout", shown_duration(limits.header_timeout)),
        ("longest head", head),
        ("idle-timeout", shown_duration(limits.idle_timeout)),
        ("HTTP/2 streams", limits.max_streams.to_string()),
        ("HTTP/2 resets", limits.max_resets.to_string()),
    ]
}

fn yes_or_no(answer: bool) -> String {
    if answer { "yes" } else { "no" }.to_owned()
}

fn tls_rows(tls: Option<&Tls>) -> Vec<Row> {
    let acme = match tls {
        None => {
            return vec![("tls", "none: plain HTTP, for a proxy in front".to_owned())];
        }
        Some(Tls::Files(pair)) => {
            return vec![("tls", format!("certificate {}", shown_pair(pair)))];
        }
        Some(Tls::Acme(acme)) => acme,
    };
    let challenge = match &acme.challenge {
        Challenge::Http01 { listen } => {
            let listen: Vec<_> = listen.iter().map(Address::to_string).collect();
            format!("http-01, answered on {}", listen.join(" "))
        }
        Challenge::TlsAlpn01 => "tls-alpn-01".to_owned(),
    };
    let mut rows = vec![
        ("tls", format!("ACME, from {}", acme.directory)),
        ("domains", acme.domains.join(" ")),
        ("challenge", challenge),
        ("kept in", acme.keep_in.display().to_string()),
    ];
    let ca_file = acme.ca_file.as_ref();
    rows.extend(ca_file.map(|path| ("ca-file", path.display().to_string())));
    let external = acme.external_account.as_ref();
    rows.extend(external.map(|it| ("external-account", it.key_id.clone())));
    let contact = acme.contact.iter();
    rows.extend(contact.map(|it| ("contact", it.clone())));
    rows
}

fn shown(value: &http::HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn shown_pair(pair: &KeyPairFiles) -> String {
    format!(
        "{}, key {}",
        pair.cert_file.display(),
        pair.key_file.display()
    )
}
