//! What a person sees of a change.

use bytes::Bytes;

use super::super::{Change, Name, Object, Standing, diff::*};

fn object(body: &'static str, cache_control: &str) -> Object {
    Object {
        body: Bytes::from_static(body.as_bytes()),
        content_type: Some("application/json".to_owned()),
        cache_control: Some(cache_control.to_owned()),
    }
}

fn change(name: Name, found: Standing, wanted: Object) -> Change {
    Change {
        name,
        found,
        wanted,
    }
}

#[test]
fn a_difference_in_body_and_metadata_is_shown_in_both() {
    let change = change(
        Name::Discovery,
        Standing::Present(object(r#"{"issuer":"https://old","x":[1]}"#, "no-cache")),
        object(r#"{"issuer":"https://new","x":[1]}"#, "max-age=60"),
    );
    let expected = r#"--- s3://b/p/.well-known/openid-configuration
+++ s3://b/p/.well-known/openid-configuration
@@ -1,7 +1,7 @@
 content-type: application/json
-cache-control: no-cache
+cache-control: max-age=60
 {
-  "issuer": "https://old",
+  "issuer": "https://new",
   "x": [
     1
   ]
"#;
    assert_eq!(unified(&change, "s3://b/p", Colour::Plain), expected);
}

#[test]
fn a_new_object_is_all_additions() {
    let change = change(Name::Jwks, Standing::Missing, object(r#"{"keys":[]}"#, "a"));
    let expected = r#"--- file:///d/openid/v1/jwks (missing)
+++ file:///d/openid/v1/jwks
@@ -0,0 +1,5 @@
+content-type: application/json
+cache-control: a
+{
+  "keys": []
+}
"#;
    assert_eq!(unified(&change, "file:///d/", Colour::Plain), expected);
}

#[test]
fn colour_changes_nothing_but_the_colour() {
    let change = change(
        Name::Discovery,
        Standing::Present(object(r#"{"a":1}"#, "a")),
        object(r#"{"a":2}"#, "a"),
    );
    let coloured = unified(&change, "s3://b", Colour::Ansi);
    assert!(coloured.contains("\x1b[31m-  \"a\": 1\x1b[0m\n"));
    assert!(coloured.contains("\x1b[32m+  \"a\": 2\x1b[0m\n"));
    let plain = ["\x1b[1m", "\x1b[36m", "\x1b[32m", "\x1b[31m", "\x1b[0m"]
        .iter()
        .fold(coloured, |text, code| text.replace(code, ""));
    assert_eq!(plain, unified(&change, "s3://b", Colour::Plain));
}

#[test]
fn other_white_space_alone_is_said_in_words() {
    let change = change(
        Name::Discovery,
        Standing::Present(object(r#"{ "a": 1 }"#, "a")),
        object(r#"{"a":1}"#, "a"),
    );
    let text = unified(&change, "s3://b", Colour::Plain);
    assert!(text.ends_with("the same JSON, written differently\n"));
}

#[test]
fn what_others_wrote_cannot_drive_the_terminal_or_leak_a_key() {
    let cases = [
        (Name::Discovery, "\x1b[2J", "(4 bytes that are not JSON)"),
        (Name::Discovery, "{\"a\":\"\u{9b}2J\"}", r"\u{9b}2J"),
        (Name::Discovery, r#"{"a":"\u001b[2J"}"#, r"\u001b[2J"),
        (
            Name::Jwks,
            r#"{"keys":[{"kid":"a","d":"SECRET"}]}"#,
            "(35 bytes, not shown: it holds private key material",
        ),
    ];
    for (name, body, expected) in cases {
        let found = Standing::Present(object(body, "a\x1b[2J"));
        let change = change(name, found, object("{}", "a"));
        let text = unified(&change, "s3://b", Colour::Plain);
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains("SECRET"), "{text}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
    }
}
