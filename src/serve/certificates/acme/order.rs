//! One order of one certificate, from the account to the chain.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, NewOrder, Order, OrderStatus,
    RetryPolicy,
};

use super::{
    challenges::{Challenges, Shown},
    error::AcmeError,
};
use crate::config::settings::Challenge;

/// A new certificate for `domain` with its key, PEM.
pub(super) async fn order(
    account: &Account,
    domain: &str,
    challenge: &Challenge,
    challenges: &Challenges,
) -> Result<String, AcmeError> {
    let identifiers = [Identifier::Dns(domain.to_owned())];
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    let shown = answer(&mut order, domain, challenge, challenges).await?;
    // It may be ready from before.
    if order.state().status == OrderStatus::Pending {
        match order.poll_ready(&PATIENCE).await {
            Ok(OrderStatus::Ready) => {}
            Ok(_) => return Err(what_was_wrong(&mut order).await?),
            Err(Error::Api(problem)) if order.state().status == OrderStatus::Invalid => {
                return Err(AcmeError::Validation(problem.into()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    drop(shown);
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&PATIENCE).await?;
    Ok(chain + &key)
}

/// Shows what the CA wants to see, and tells it to look.
async fn answer(
    order: &mut Order,
    domain: &str,
    challenge: &Challenge,
    challenges: &Challenges,
) -> Result<Vec<Shown>, AcmeError> {
    let mut shown = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        // A CA may remember that the domain was ours the last time (RFC 8555 section 7.4.1).
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let (kind, name) = match challenge {
            Challenge::Http01 { .. } => (ChallengeType::Http01, "http-01"),
            Challenge::TlsAlpn01 => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
        };
        let offered = authorization.challenge(kind);
        let mut offered = offered.ok_or(AcmeError::NoChallenge(name))?;
        let answer = offered.key_authorization();
        shown.push(match challenge {
            Challenge::Http01 { .. } => challenges.show_as_file(&offered.token, &answer),
            Challenge::TlsAlpn01 => challenges.show_in_handshakes(domain, &answer)?,
        });
        offered.set_ready().await?;
    }
    Ok(shown)
}

/// Why the CA has given up on an order: if not with the order, the problem stands with a challenge.
async fn what_was_wrong(order: &mut Order) -> Result<AcmeError, Error> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let challenges = &authorization.refresh().await?.challenges;
        if let Some(problem) = challenges.iter().find_map(|it| it.error.clone()) {
            return Ok(AcmeError::Validation(problem.into()));
        }
    }
    Ok(AcmeError::Protocol)
}

/// How long a CA may take to look, and to sign.
const PATIENCE: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(90));
