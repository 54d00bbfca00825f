//! `gradloom passes`

use clap::Args;
use gradloom_ir::Result;
use gradloom_passes::{Offer, Role, catalogue, offer};
use std::fmt::Write as _;
use std::io::Write as _;

/// Lists the passes: what each does; of one that is named a program before and after it, too.
#[derive(Args)]
pub struct Passes {
    /// A pass.
    name: Option<String>,
}

/// The heading over the passes of a role.
const ROLES: &[(Role, &str)] = &[
    (Role::Standard, "on every program"),
    (Role::Optional, "on request: `gradloom show --with NAME`, `jit(f).pipeline(|p| p.with(..))`"),
    (Role::Lowering, "before code is made, where a program needs it"),
];

impl Passes {
    /// Always true, or an error.
    pub fn execute(&self) -> Result<bool> {
        let text = match &self.name {
            Some(name) => one(offer(name)?),
            None => all(),
        };
        // nobody reads any more, only if nobody wants to know
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
        Ok(true)
    }
}

fn one(offer: &Offer) -> String {
    let (before, after) = offer.example();
    let restless = offer.restless.map(|why| format!("\nNot idempotent: {why}.\n")).unwrap_or_default();
    format!("{}: {}\n{restless}\n{before}\nbecomes\n\n{after}", offer.name, offer.what)
}

fn all() -> String {
    let mut text = String::new();
    for (role, heading) in ROLES {
        let _ = writeln!(text, "{heading}");
        for offer in catalogue().iter().filter(|o| o.role == *role) {
            let _ = writeln!(text, "  {:21} {}", offer.name, offer.what);
        }
    }
    text
}
