//! Finding patterns among classes, where a value may be computed in many ways.

use super::super::matching::Bindings;
use super::super::rule::Rule;
use super::super::term::{AttrPattern, NodePattern, Pattern};
use super::space::{Application, Head, Space};
use egg::Id;
use gradloom_ir::Attr;
use smallvec::SmallVec;

/// What the names of a rule stand for.
#[derive(Clone, Default)]
pub(super) struct Found {
    classes: SmallVec<[Option<Id>; 6]>,
    attrs: Vec<Option<Attr>>,
}

/// The classes at which a rule's left side stands, and how; `limit` at most.
pub(super) fn matches(space: &Space, rule: &Rule, p: &NodePattern, limit: usize) -> Vec<(Id, Found)> {
    let none = Found {
        classes: SmallVec::from_elem(None, rule.names.values.len()),
        attrs: vec![None; rule.names.attrs.len()],
    };
    let mut all = Vec::new();
    for &name in &p.ops {
        for class in space.egraph.classes_for_op(&name).into_iter().flatten() {
            let class = space.egraph.find(class);
            for a in space.egraph[class].nodes.iter().filter(|a| a.name == name) {
                let found = application_matches(space, p, a, vec![none.clone()], limit - all.len());
                all.extend(found.into_iter().map(|f| (class, f)));
                if all.len() >= limit {
                    return all;
                }
            }
        }
    }
    all
}

/// Each of the ways so far to stand for names, with all the ways in which this application has the form of the pattern.
fn application_matches(
    space: &Space,
    p: &NodePattern,
    a: &Application,
    so_far: Vec<Found>,
    limit: usize,
) -> Vec<Found> {
    let Head::Op(o) = space.head_of(a) else { return Vec::new() };
    if a.args.len() != p.args.len() {
        return Vec::new();
    }
    let so_far: Vec<Found> = so_far.into_iter().filter_map(|f| attrs_match(p, &o.attrs, f)).collect();
    if so_far.is_empty() {
        return so_far;
    }
    let in_order = |args: &[Id], so_far: Vec<Found>| {
        p.args.iter().zip(args).fold(so_far, |so_far, (p, &x)| class_matches(space, p, x, so_far, limit))
    };
    if let [x, y] = a.args[..]
        && x != y
        && o.commutes
    {
        let mut found = in_order(&[x, y], so_far.clone());
        found.extend(in_order(&[y, x], so_far));
        return found;
    }
    in_order(&a.args, so_far)
}

fn attrs_match(p: &NodePattern, attrs: &[(&'static str, Attr)], mut found: Found) -> Option<Found> {
    for (name, pattern) in &p.attrs {
        let (_, attr) = attrs.iter().find(|(n, _)| n == name)?;
        let fits = match pattern {
            AttrPattern::Is(a) => a == attr,
            AttrPattern::Capture(i) => found.attrs[*i].get_or_insert_with(|| attr.clone()) == attr,
        };
        if !fits {
            return None;
        }
    }
    Some(found)
}

fn class_matches(space: &Space, p: &Pattern, class: Id, so_far: Vec<Found>, limit: usize) -> Vec<Found> {
    let class = space.egraph.find(class);
    let bound = |so_far: Vec<Found>, name: usize| -> Vec<Found> {
        let same = |mut f: Found| (*f.classes[name].get_or_insert(class) == class).then_some(f);
        so_far.into_iter().filter_map(same).collect()
    };
    match p {
        Pattern::Value(i) => bound(so_far, *i),
        Pattern::Number(n, name) => {
            let is = space.value(class).is_some_and(|x| n.matches(&space.view, x));
            match name {
                _ if !is => Vec::new(),
                Some(i) => bound(so_far, *i),
                None => so_far,
            }
        }
        Pattern::Node(p) => {
            let so_far = match p.result {
                Some(i) => bound(so_far, i),
                None => so_far,
            };
            let mut all = Vec::new();
            for a in space.egraph[class].nodes.iter().filter(|a| p.ops.contains(&a.name)) {
                all.extend(application_matches(space, p, a, so_far.clone(), limit));
                if all.len() >= limit {
                    all.truncate(limit);
                    break;
                }
            }
            all
        }
    }
}

impl Found {
    /// The same with values of the view for classes.
    pub fn bindings(self, space: &Space) -> Bindings {
        let value = |id: Option<Id>| id.and_then(|id| space.value(space.egraph.find(id)));
        Bindings { values: self.classes.into_iter().map(value).collect(), attrs: self.attrs.into() }
    }
}
