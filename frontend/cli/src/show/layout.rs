//! Where the boxes of a graph go: in rows, so that every edge leads down, with few and short crossings.
//!
//! Layers by longest path; what then can go down to its first reader does so where that makes edges no longer. Sweeps put each box near the mean of its
//! neighbours (barycentres; Sugiyama, Tagawa and Toda 1981). Layers wider than [`WIDEST`] are cut into rows. In each row
//! the boxes then come as near to their neighbours' means as their order allows, by least squares. The same input gives
//! the same layout, always.

/// Pixels between boxes of a row.
pub const GAP: f64 = 16.0;
/// A row is not wider than this unless a box is.
const WIDEST: f64 = 3600.0;
/// Sweeps over all layers that order them, down and up.
const ORDER_SWEEPS: usize = 6;
/// Sweeps over all rows that place boxes, down and up.
const PLACE_SWEEPS: usize = 4;

/// A box in its row.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Placed {
    /// Which box.
    pub item: usize,
    /// Its left side, in whole pixels from 0.
    pub x: f64,
}

/// Boxes of these widths in rows from top to bottom, each from left to right. Edges that close a cycle count for nothing.
pub fn layout(widths: &[f64], edges: &[(usize, usize)]) -> Vec<Vec<Placed>> {
    let net = Net::new(widths.len(), edges);
    let mut layers = net.layers();
    net.order(&mut layers);
    let rows = cut(layers, widths);
    net.place(rows, widths)
}

/// An order of the items in which edges lead forward, the least item first where there is a choice.
pub fn topological(items: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    Net::new(items, edges).topological()
}

struct Net {
    before: Vec<Vec<usize>>,
    after: Vec<Vec<usize>>,
}

impl Net {
    fn new(items: usize, edges: &[(usize, usize)]) -> Net {
        let mut edges: Vec<_> = edges.iter().copied().filter(|(a, b)| a != b).collect();
        edges.sort_unstable();
        edges.dedup();
        let (mut before, mut after) = (vec![Vec::new(); items], vec![Vec::new(); items]);
        for (a, b) in edges {
            after[a].push(b);
            before[b].push(a);
        }
        let mut net = Net { before, after };
        // cycles do not come from programs, but nothing below may hang on one
        let mut position = vec![0; items];
        net.topological().iter().enumerate().for_each(|(p, &i)| position[i] = p);
        for i in 0..items {
            net.after[i].retain(|&j| position[i] < position[j]);
            net.before[i].retain(|&j| position[j] < position[i]);
        }
        net
    }

    fn topological(&self) -> Vec<usize> {
        let items = self.before.len();
        let mut missing: Vec<usize> = self.before.iter().map(Vec::len).collect();
        let mut done = vec![false; items];
        let mut ready: std::collections::BTreeSet<usize> = (0..items).filter(|&i| missing[i] == 0).collect();
        let (mut order, mut stuck) = (Vec::with_capacity(items), 0);
        while order.len() < items {
            let i = ready.pop_first().unwrap_or_else(|| {
                while done[stuck] {
                    stuck += 1;
                }
                stuck
            });
            done[i] = true;
            order.push(i);
            for &j in &self.after[i] {
                missing[j] = missing[j].saturating_sub(1);
                if missing[j] == 0 && !done[j] {
                    ready.insert(j);
                }
            }
        }
        order
    }

    fn layers(&self) -> Vec<Vec<usize>> {
        let order = self.topological();
        let mut layer = vec![0usize; order.len()];
        for &i in &order {
            layer[i] = self.before[i].iter().map(|&j| layer[j] + 1).max().unwrap_or(0);
        }
        for &i in order.iter().rev() {
            let next = self.after[i].iter().map(|&j| layer[j] - 1).min();
            // edges from what nobody else reads get no longer, for it can follow
            let held = self.before[i].iter().filter(|&&j| self.after[j].len() > 1).count();
            if let Some(next) = next.filter(|_| self.after[i].len() >= held) {
                layer[i] = next;
            }
        }
        let count = layer.iter().max().map_or(0, |m| m + 1);
        let mut layers = vec![Vec::new(); count];
        (0..layer.len()).for_each(|i| layers[layer[i]].push(i));
        layers.retain(|l| !l.is_empty());
        layers
    }

    /// Orders each layer by the barycentres of the layers before it, then of those after it, and so on; keeps what was best.
    fn order(&self, layers: &mut Vec<Vec<usize>>) {
        let mut position = vec![0.0; self.before.len()];
        let number = |layer: &[usize], position: &mut [f64]| {
            let middle = (layer.len() as f64 - 1.0) / 2.0;
            layer.iter().enumerate().for_each(|(p, &i)| position[i] = p as f64 - middle);
        };
        layers.iter().for_each(|l| number(l, &mut position));
        let spread = |position: &[f64]| -> f64 {
            let of = |i: usize| self.after[i].iter().map(|&j| (position[i] - position[j]).abs()).sum::<f64>();
            (0..position.len()).map(of).sum()
        };
        let mut best = (spread(&position), layers.clone());
        for sweep in 0..ORDER_SWEEPS {
            let down = sweep % 2 == 0;
            for k in 0..layers.len() {
                let at = if down { k } else { layers.len() - 1 - k };
                let layer = &mut layers[at];
                let mean = |&i: &usize| mean(if down { &self.before[i] } else { &self.after[i] }, &position);
                let mut keyed: Vec<(f64, usize)> =
                    layer.iter().map(|i| (mean(i).unwrap_or(position[*i]), *i)).collect();
                keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
                *layer = keyed.into_iter().map(|(_, i)| i).collect();
                number(layer, &mut position);
            }
            let now = spread(&position);
            if now < best.0 {
                best = (now, layers.clone());
            }
        }
        *layers = best.1;
    }

    fn place(&self, rows: Vec<Vec<usize>>, widths: &[f64]) -> Vec<Vec<Placed>> {
        let mut centre = vec![0.0; widths.len()];
        for row in &rows {
            let total: f64 = row.iter().map(|&i| widths[i] + GAP).sum();
            let mut x = -total / 2.0;
            for &i in row {
                centre[i] = x + widths[i] / 2.0;
                x += widths[i] + GAP;
            }
        }
        for sweep in 0..2 * PLACE_SWEEPS {
            let down = sweep % 2 == 0;
            for k in 0..rows.len() {
                let row = &rows[if down { k } else { rows.len() - 1 - k }];
                let wanted = |&i: &usize| {
                    mean(if down { &self.before[i] } else { &self.after[i] }, &centre).unwrap_or(centre[i])
                };
                let wanted: Vec<f64> = row.iter().map(wanted).collect();
                let row_widths: Vec<f64> = row.iter().map(|&i| widths[i]).collect();
                for (&i, x) in row.iter().zip(nearest(&wanted, &row_widths)) {
                    centre[i] = x;
                }
            }
        }
        let left = |i: usize| centre[i] - widths[i] / 2.0;
        let least = (0..widths.len()).map(left).fold(f64::INFINITY, f64::min);
        let line = |row: &Vec<usize>| {
            let mut free = 0.0f64;
            row.iter()
                .map(|&item| {
                    let x = (left(item) - least).round().max(free);
                    free = x + widths[item] + GAP;
                    Placed { item, x }
                })
                .collect()
        };
        rows.iter().map(line).collect()
    }
}

fn mean(neighbours: &[usize], of: &[f64]) -> Option<f64> {
    let sum: f64 = neighbours.iter().map(|&j| of[j]).sum();
    (!neighbours.is_empty()).then(|| sum / neighbours.len() as f64)
}

/// Rows of layers, none wider than [`WIDEST`] unless one box is.
fn cut(layers: Vec<Vec<usize>>, widths: &[f64]) -> Vec<Vec<usize>> {
    let mut rows: Vec<Vec<usize>> = Vec::new();
    for layer in layers {
        let total: f64 = layer.iter().map(|&i| widths[i] + GAP).sum();
        // of about the same width
        let share = total / (total / WIDEST).ceil().max(1.0);
        let (mut row, mut used) = (Vec::new(), 0.0);
        for i in layer {
            if !row.is_empty() && used + widths[i] / 2.0 > share {
                rows.push(std::mem::take(&mut row));
                used = 0.0;
            }
            used += widths[i] + GAP;
            row.push(i);
        }
        rows.push(row);
    }
    rows
}

/// The centres nearest to the wanted ones, in sum of squares, for which boxes in this order do not overlap: without the
/// room that the boxes before it need, a box's place must only not decrease, and the best such sequence has equal places
/// at the mean of what they want wherever the wanted order is wrong (pool adjacent violators).
fn nearest(wanted: &[f64], widths: &[f64]) -> Vec<f64> {
    let mut room = Vec::with_capacity(wanted.len());
    let mut x = 0.0;
    for w in widths {
        room.push(x + w / 2.0);
        x += w + GAP;
    }
    // mean and number of each pool
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for (want, room) in wanted.iter().zip(&room) {
        let (mut mean, mut count) = (want - room, 1);
        while let Some(&(m, n)) = pools.last().filter(|(m, _)| *m > mean) {
            mean = (mean * count as f64 + m * n as f64) / (count + n) as f64;
            count += n;
            pools.pop();
        }
        pools.push((mean, count));
    }
    let places = pools.into_iter().flat_map(|(mean, count)| std::iter::repeat_n(mean, count));
    places.zip(room).map(|(p, r)| p + r).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is true of every layout.
    #[track_caller]
    fn check(widths: &[f64], edges: &[(usize, usize)]) -> Vec<Vec<Placed>> {
        let rows = layout(widths, edges);
        let mut row_of = vec![None; widths.len()];
        for (r, row) in rows.iter().enumerate() {
            for p in row {
                assert_eq!(row_of[p.item].replace(r), None, "each box once");
                assert!(p.x >= 0.0);
            }
            for pair in row.windows(2) {
                assert!(pair[0].x + widths[pair[0].item] + GAP <= pair[1].x, "no overlaps");
            }
        }
        assert!(row_of.iter().all(Option::is_some));
        for (a, b) in edges.iter().filter(|(a, b)| a < b) {
            assert!(row_of[*a] < row_of[*b], "edges lead down");
        }
        assert_eq!(rows, layout(widths, edges));
        rows
    }

    /// Numbers that look random.
    fn hash(i: usize) -> usize {
        (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xBF58_476D_1CE4_E5B9) as usize >> 8
    }

    #[test]
    fn random_graphs() {
        for n in [0, 1, 2, 7, 60, 3000] {
            let widths: Vec<f64> = (0..n).map(|i| 40.0 + (hash(i) % 200) as f64).collect();
            let edges: Vec<_> = (1..n).flat_map(|i| (0..2).map(move |k| (hash(2 * i + k) % i, i))).collect();
            check(&widths, &edges);
            check(&widths, &[]);
        }
    }

    #[test]
    fn chains_are_straight_and_sources_stand_by_their_readers() {
        // 0 -> 1 -> 2 -> 3, and 4, which only 3 reads
        let rows = check(&[100.0; 5], &[(0, 1), (1, 2), (2, 3), (4, 3)]);
        let items: Vec<Vec<usize>> = rows.iter().map(|r| r.iter().map(|p| p.item).collect()).collect();
        assert_eq!(items, [vec![0], vec![1], vec![2, 4], vec![3]]);
        assert_eq!(rows[0][0].x, rows[1][0].x);
    }

    #[test]
    fn cycles_end() {
        assert_eq!(layout(&[10.0; 3], &[(0, 1), (1, 2), (2, 0), (1, 1)]).iter().flatten().count(), 3);
        assert_eq!(topological(3, &[(2, 1), (1, 0)]), [2, 1, 0]);
    }

    #[test]
    fn the_nearest_places_are_the_least_squares() {
        assert_eq!(nearest(&[0.0, 100.0], &[10.0, 10.0]), [0.0, 100.0]);
        // both want 50: they share the error
        let half = (10.0 + GAP) / 2.0;
        assert_eq!(nearest(&[50.0, 50.0], &[10.0, 10.0]), [50.0 - half, 50.0 + half]);
    }
}
