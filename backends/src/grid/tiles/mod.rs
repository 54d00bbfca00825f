//! Products whose results nothing but other products and reductions read, as those of attention: computed tile by tile, and never
//! stored.
//!
//! A *region* is a product of matrices and what is computed of its result element by element, other products of that size
//! included, until sums over rows or columns, or products with further matrices, make it small again. Each kernel computes some of these sums: a
//! block has some rows, goes along the columns, makes the tile of each product anew and sums up. Of a softmax the greatest number of a
//! row, the sum of its exponentials and their product with a matrix come of one pass (`online`). The gradient of attention is made of
//! the same kernels; nothing here knows attention.

mod ends;
mod fragments;
mod kernel;
mod loads;
mod online;
mod places;
mod program;
mod region;
mod sums;
mod tile;

use super::GridKernel;
use crate::outline::{Outlined, formed, outline};
use gradloom_ir::{Error, Graph, Node, Op, Result};
use gradloom_passes::cost::graph_cost;
use gradloom_passes::{Changed, map_bodies};
use online::{Dependence, online};
use region::{Finder, MOST_TERMS, Region};
use std::collections::BTreeSet;
use std::sync::Arc;
use tile::{Part, Tile};

/// When products are computed by tiles, and how precisely.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tiling {
    /// The fewest blocks of a kernel: fewer leave most of a GPU idle, where a library would cut the sums.
    pub blocks: usize,
    /// Whether tensor cores read f32 without its last bits. Else each is two such numbers, whose products lose no more than
    /// what single multiplications do.
    pub tf32: bool,
}

impl Default for Tiling {
    /// What about half of a large GPU is busy with, as precise as f32 is.
    fn default() -> Tiling {
        Tiling { blocks: 64, tf32: false }
    }
}

/// What the compiler makes the kernel of.
#[derive(Clone)]
pub(super) struct TileKernel {
    tile: Arc<Tile>,
    tf32: bool,
    flops: u64,
}

impl TileKernel {
    /// Arithmetic operations, those of products that are made anew included.
    pub fn flops(&self) -> u64 {
        self.flops
    }

    /// The kernel on arguments that lie at multiples of so many bytes.
    ///
    /// # Errors
    /// More blocks than a GPU takes.
    pub fn grid(&self, alignment: &[usize]) -> Result<GridKernel> {
        kernel::kernel(&self.tile, self.tf32, alignment)
    }
}

/// Whether [`tile_products`] may find anything.
pub(crate) fn has_product_to_tile(g: &Graph, with: Tiling) -> bool {
    let least = with.blocks * region::FEWEST * region::FEWEST;
    let large = |n: &Node| matches!(n.op, Op::DotGeneral { .. }) && g.ty(n.results[0]).numel() >= least;
    g.nodes().iter().any(|n| large(n) || n.op.bodies().iter().any(|b| has_product_to_tile(b, with)))
}

/// Outlines products whose results need not be stored.
///
/// **Requires** real arrays, no remat and no custom derivative ops. **Never** changes more than the order in which terms are summed
/// up and where 16-bit floats are rounded: inside of a kernel they are not.
///
/// # Errors
/// A malformed program.
pub fn tile_products(g: &mut Graph, with: Tiling) -> Result<Changed> {
    let inside = map_bodies(g, &mut |body| tile_products(body, with))?;
    let mut regions = regions(g, with);
    // merged kernels may wait for each other
    for merge in [true, false] {
        let tiles = regions.iter().map(|r| tiles(g, r, merge)).collect::<Vec<_>>();
        // a region that has no kernels stays as it is
        let mut kept = tiles.iter().map(Option::is_some);
        regions.retain(|_| kept.next().unwrap_or(false));
        let tiles: Vec<Tile> = tiles.into_iter().flatten().flatten().collect();
        if let Some(new) = outlined(g, tiles, with)? {
            *g = gradloom_passes::dead_code(&new);
            return Ok(Changed::Yes);
        }
    }
    Ok(inside)
}

/// The regions of a program, none of which has a node of another.
fn regions(g: &Graph, with: Tiling) -> Vec<Region> {
    let finder = Finder::new(g);
    let mut taken = BTreeSet::new();
    let mut regions = Vec::new();
    for (i, node) in g.nodes().iter().enumerate() {
        if !matches!(node.op, Op::DotGeneral { .. }) || taken.contains(&i) {
            continue;
        }
        let Some(region) = finder.find(i).filter(|r| fills(r, with.blocks)) else { continue };
        let nodes = || region.members.iter().copied().chain(region.sinks.iter().map(|s| s.node));
        if nodes().any(|n| taken.contains(&n)) {
            continue;
        }
        taken.extend(nodes());
        regions.push(region);
    }
    regions
}

/// Whether each kernel of a region has so many blocks.
fn fills(region: &Region, blocks: usize) -> bool {
    let extents = &region.axes.extents;
    let product = |range: std::ops::Range<usize>| extents[range].iter().product::<usize>();
    region.sinks.iter().all(|s| {
        let own = product(region.axes.side(s.over.other()));
        product(region.axes.batch()) * own.div_ceil(kernel::OWN) >= blocks
    })
}

/// The kernels of a region; `None` if it has none.
fn tiles(g: &Graph, region: &Region, merge: bool) -> Option<Vec<Tile>> {
    let depends = Dependence::new(g, region)?;
    let parts = parts(g, region, &depends, merge);
    let tiles: Result<Vec<Tile>> = parts.iter().map(|p| Tile::new(g, region, &depends, p)).collect();
    match tiles {
        Ok(tiles) => Some(tiles),
        Err(e) => {
            tracing::debug!(error = %e, "products are stored");
            None
        }
    }
}

/// The sinks of a region by kernels.
fn parts(g: &Graph, region: &Region, depends: &Dependence, merge: bool) -> Vec<Part> {
    let node = |k: usize| &g.nodes()[region.sinks[k].node];
    let mut parts: Vec<Part> = online(g, region, depends, MOST_TERMS)
        .into_iter()
        .map(|o| Part { sinks: [o.greatest].into_iter().chain(o.sums.iter().map(|s| s.0)).collect(), online: Some(o) })
        .collect();
    let columns = |k: usize| match &node(k).op {
        Op::DotGeneral { .. } if !region.sinks[k].is_stored => {
            let own = region.axes.side(region.sinks[k].over.other());
            let places: usize =
                region.axes.extents[region.axes.batch()].iter().chain(&region.axes.extents[own]).product();
            g.ty(node(k).results[0]).numel() / places
        }
        _ => 0,
    };
    let scores = |k: usize| depends.scores[region.sinks[k].value.index()];
    let before = |k: usize| depends.before(g, &region.sinks[k]);
    for k in 0..region.sinks.len() {
        if parts.iter().any(|p| p.sinks.contains(&k)) {
            continue;
        }
        let together = |p: &&mut Part| {
            let apart = |&s: &usize| {
                before(s) >> k & 1 == 1 || before(k) >> s & 1 == 1 || region.sinks[s].over != region.sinks[k].over
            };
            let both = p.sinks.iter().fold(0, |all, &s| all | scores(s));
            let shared = both & scores(k) == scores(k) || both & scores(k) == both;
            let sum: usize = p.sinks.iter().map(|&s| columns(s)).sum();
            merge && p.online.is_none() && shared && sum + columns(k) <= MOST_TERMS && !p.sinks.iter().any(apart)
        };
        match parts.iter_mut().find(together) {
            Some(part) => part.sinks.push(k),
            None => parts.push(Part { sinks: vec![k], online: None }),
        }
    }
    parts
}

/// The program with kernels in place of their nodes.
fn outlined(g: &Graph, tiles: Vec<Tile>, with: Tiling) -> Result<Option<Graph>> {
    let parts: Vec<Outlined> = tiles.iter().map(|t| Outlined { roots: t.nodes(), inputs: t.args.clone() }).collect();
    let tiles: Vec<Arc<Tile>> = tiles.into_iter().map(Arc::new).collect();
    outline(g, &parts, |k, b, map| {
        let tile = tiles[k].clone();
        let missing = || Error::internal("tile_products", "an argument is not there yet");
        let args = tile.args.iter().map(|a| map[a.index()].ok_or_else(missing)).collect::<Result<Vec<_>>>()?;
        let nodes = tile.nodes();
        b.set_loc(&g.nodes()[nodes[0]].loc);
        let meaning = tile.meaning(g)?;
        let form = TileKernel { tile, tf32: with.tf32, flops: graph_cost(&meaning).flops };
        for (&i, new) in nodes.iter().zip(b.emit(formed("tiles", meaning, form), &args)?) {
            map[g.nodes()[i].results[0].index()] = Some(new);
        }
        Ok(())
    })
}
