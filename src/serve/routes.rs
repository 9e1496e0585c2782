//! Which host and path belong to which document of which mirror.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use http::HeaderValue;
use tokio::sync::watch;

use crate::{
    config::settings::Metadata,
    oidc::{Issuer, Snapshot},
};

/// One mirror as it is served.
#[derive(Debug)]
pub struct Route {
    pub(super) cache_control: HeaderValue,
    pub(super) jwks_content_type: HeaderValue,
    pub(super) snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
}

/// The documents of a mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Discovery,
    Jwks,
}

/// All routes of a process: exactly two paths per mirror.
#[derive(Debug, Default)]
pub struct Routes {
    routes: Vec<Route>,
    /// By host, lower-case, without port; then by path.
    hosts: HashMap<String, HashMap<String, (usize, Page)>>,
}

/// Where a request leads.
pub(super) enum Found<'a> {
    Page(&'a Route, Page),
    /// The host is one of ours, the path is not.
    UnknownPath,
    /// No issuer has this host.
    UnknownHost,
}

impl Routes {
    /// Adds the two paths of `issuer`. The configuration has made sure that they are free.
    pub fn add(
        &mut self,
        issuer: &Issuer,
        metadata: &Metadata,
        snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    ) {
        let at = self.routes.len();
        let paths = self.hosts.entry(issuer.host().to_owned()).or_default();
        paths.insert(issuer.discovery_path(), (at, Page::Discovery));
        paths.insert(issuer.jwks_path(), (at, Page::Jwks));
        self.routes.push(Route {
            cache_control: metadata.cache_control.clone(),
            jwks_content_type: metadata.jwks_content_type.clone(),
            snapshots,
        });
    }

    /// Looks up the host of a request, which may have a port, and its path.
    pub(super) fn find(&self, host: &str, path: &str) -> Found<'_> {
        let host = without_port(host);
        let host = if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(host.to_ascii_lowercase())
        } else {
            Cow::Borrowed(host)
        };
        let Some(paths) = self.hosts.get(host.as_ref()) else {
            return Found::UnknownHost;
        };
        match paths
            .get(path)
            .and_then(|(at, page)| Some((self.routes.get(*at)?, *page)))
        {
            Some((route, page)) => Found::Page(route, page),
            None => Found::UnknownPath,
        }
    }
}

/// The port says nothing: a proxy or a port mapping changes it.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // What follows the last colon of an IPv6 address ends in its bracket.
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}
