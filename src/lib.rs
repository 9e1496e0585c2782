//! A standalone OIDC discovery and JWKS mirror for Kubernetes.
