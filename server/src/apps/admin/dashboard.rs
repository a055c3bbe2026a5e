//! `/dashboard`: the figures of `/metrics.json` and `/heat.json`, drawn by a browser.
//!
//! One page that asks for nothing but the other pages of this listener. There is no figure on it when it
//! is sent, so it is open also where the others want a token: the page asks for it and sends it.

use std::rc::Rc;

use corelane_http::web::{Endpoint, Request, Response};

use super::fresh;
use super::subject::Pages;

/// The script as it stands between its tags, where its hash is taken of.
macro_rules! script {
    () => {
        include_str!("dashboard/script.js")
    };
}
/// The style, likewise.
macro_rules! style {
    () => {
        include_str!("dashboard/style.css")
    };
}

const PAGE: &str = concat!(
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
    "<link rel=\"icon\" href=\"data:,\">\n<title>corelane</title>\n<style>",
    style!(),
    "</style>\n</head>\n",
    include_str!("dashboard/body.html"),
    "<script>",
    script!(),
    "</script>\n</body>\n</html>\n",
);

/// What a browser lets the page do (Content Security Policy, level 3): this script and this style, by
/// their SHA-256, and questions to where it came from. A test says what the hashes must be.
const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'; \
    script-src 'sha256-fkeW7P7LZlgYk2OcCaBmLWEwrLnXz7WB2wLxww56ciE='; \
    style-src 'sha256-Ag6/IE69mxCe36xvQK+HQ4j0my1ht0Px9anhQsQK3qQ='";

pub(super) fn page(_: &Rc<Pages>) -> Endpoint {
    Endpoint::of_head(|_: &Request<'_>| {
        fresh(Response::html(PAGE))
            .with("Content-Security-Policy", POLICY)
            .with("X-Content-Type-Options", "nosniff")
            .with("Referrer-Policy", "no-referrer")
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_policy_allows_what_is_on_the_page_and_no_more() {
        for (directive, text) in [("script-src", script!()), ("style-src", style!())] {
            let hash = BASE64_STANDARD.encode(Sha256::digest(text));
            let expected = format!("{directive} 'sha256-{hash}'");
            assert!(POLICY.contains(&expected), "POLICY must have {expected}");
        }
        // Names of routes are shown; as markup they would not be names any more.
        for harmful in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!PAGE.contains(harmful), "{harmful}");
        }
        // Nothing is asked for elsewhere, and attributes are no way around the policy.
        for outside in ["http://", "https://", "src=", " style=", " onclick="] {
            assert!(!PAGE.contains(outside), "{outside}");
        }
    }
}
