//! Which memory each stored value of a program has: an input's, a result's, a constant's, a place in the arena.

use super::cluster::Clustered;
use super::compile::StepValues;
use super::memory::{Arena, At, Layout, Room};
use gradloom_ir::{Graph, Op, Value};
use gradloom_runtime::{Buffer, Lent, Slot, Step};

/// Results of fewer bytes do not lend their memory.
const MIN_ROOM: usize = 1 << 12;

/// Only as many results lend their memory, the largest.
const MAX_ROOMS: usize = 64;

/// Where a stored value lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Input(usize),
    Output(usize),
    Constant(usize),
    Arena(usize),
}

/// Whether intermediates may lie in the memory of results that are not written yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Results {
    Lend,
    /// A nested program's results have another place in every step.
    Keep,
}

/// The memory of a program, as [`gradloom_runtime::Program`] has it.
pub(super) struct Memory {
    pub views: Vec<(Slot, usize)>,
    pub values: Vec<usize>,
    pub lent: Vec<Lent>,
    pub bytes: usize,
    pub live: Vec<usize>,
    pub donors: Vec<Option<usize>>,
}

/// Gives each stored value of a program its memory, step by step.
pub(super) struct Planner<'a> {
    g: &'a Graph,
    c: &'a Clustered,
    /// The step after which each stored value is no longer read; `usize::MAX` for values copied to outputs at the end
    /// and for values whose place has passed on to a result.
    last_use: Vec<usize>,
    /// The stored values whose last use is each step.
    dying: Vec<Vec<Value>>,
    place: Vec<Option<Place>>,
    constants: usize,
    /// What steps and results read inside other values, and by value which of these it is.
    views: Vec<Value>,
    view: Vec<Option<usize>>,
    pub arena: Arena,
    /// The place of each arena value, and its size.
    arena_values: Vec<usize>,
    value_bytes: Vec<usize>,
    /// The step that writes each result, of those that are no copies, and the place that it could be computed in.
    written: Vec<Option<(usize, Option<usize>)>>,
    /// The input in whose buffer each output may be computed.
    pub donors: Vec<Option<usize>>,
    donated: Vec<bool>,
}

impl<'a> Planner<'a> {
    pub fn new(g: &'a Graph, c: &'a Clustered, steps: &[StepValues]) -> Planner<'a> {
        let mut last_use = vec![0; g.num_values()];
        for (s, step) in steps.iter().enumerate() {
            step.reads.iter().chain(&step.writes).for_each(|v| last_use[v.index()] = s);
        }
        let mut dying: Vec<Vec<Value>> = vec![Vec::new(); steps.len()];
        for v in steps.iter().flat_map(|s| s.reads.iter().chain(&s.writes)) {
            let list = &mut dying[last_use[v.index()]];
            if list.last() != Some(v) && !list.contains(v) {
                list.push(*v);
            }
        }
        let mut views: Vec<Value> = Vec::new();
        let mut view = vec![None; g.num_values()];
        for &v in steps.iter().flat_map(|s| &s.args).chain(g.outputs()) {
            if c.first[v.index()] > 0 && view[v.index()].is_none() {
                view[v.index()] = Some(views.len());
                views.push(v);
            }
        }
        Planner {
            g,
            c,
            last_use,
            dying,
            place: vec![None; g.num_values()],
            constants: 0,
            views,
            view,
            arena: Arena::default(),
            arena_values: Vec::new(),
            value_bytes: Vec::new(),
            written: vec![None; g.num_outputs()],
            donors: vec![None; g.num_outputs()],
            donated: vec![false; g.num_inputs()],
        }
    }

    /// The slot of a value that has its place.
    pub fn slot(&self, v: Value) -> Slot {
        let (inputs, outputs) = (self.g.num_inputs(), self.g.num_outputs());
        if let Some(i) = self.view[v.index()] {
            return (inputs + outputs + self.constants + i) as Slot;
        }
        let v = self.c.alias[v.index()].unwrap_or(v);
        let slot = match self.place[v.index()].expect("every stored value has a place before its first use") {
            Place::Input(i) => i,
            Place::Output(i) => inputs + i,
            Place::Constant(i) => inputs + outputs + i,
            Place::Arena(i) => inputs + outputs + self.constants + self.views.len() + i,
        };
        slot as Slot
    }

    /// Places inputs, constants and outputs; returns the constants and the results that are copies of other values.
    pub fn fixed_places(&mut self, computed_by: &[Option<usize>]) -> (Vec<Buffer>, Vec<(usize, Value, usize)>) {
        for v in self.g.inputs() {
            self.place[v.index()] = Some(Place::Input(v.index()));
        }
        let mut constants = Vec::new();
        for node in self.g.nodes() {
            if let Op::Constant { value } = &node.op
                && self.c.stored[node.results[0].index()]
            {
                self.place[node.results[0].index()] = Some(Place::Constant(constants.len()));
                constants.push(Buffer::from_bytes(value.bytes()));
            }
        }
        let mut copies = Vec::new();
        for (i, &o) in self.g.outputs().iter().enumerate() {
            let v = self.c.alias[o.index()].unwrap_or(o);
            debug_assert!(self.c.stored[v.index()], "outputs are stored");
            let bytes = self.g.ty(o).bytes();
            let is_part = bytes != self.g.ty(v).bytes();
            if computed_by[v.index()].is_some() && self.place[v.index()].is_none() && !is_part {
                self.place[v.index()] = Some(Place::Output(i));
            } else {
                copies.push((i, o, bytes));
                self.last_use[v.index()] = usize::MAX;
            }
        }
        self.constants = constants.len();
        (constants, copies)
    }

    /// Finds places for what step `s` computes.
    pub fn place_writes(&mut self, s: usize, step: &StepValues) {
        let mut taken: Vec<Value> = Vec::new();
        // intermediates first: a result has memory of its own
        let is_result = |w: &&Value| self.place[w.index()].is_some();
        let (results, others): (Vec<&Value>, Vec<&Value>) = step.writes.iter().partition(is_result);
        for &w in others.into_iter().chain(results) {
            // what it may be computed in the place of: an input, an intermediate
            let mut reused = |is_input: bool| {
                let pair = step.in_place.iter().find(|(r, to)| {
                    let fits = *to == w && self.last_use[r.index()] == s && !taken.contains(r);
                    fits && is_input == matches!(self.place[r.index()], Some(Place::Input(_))) && self.reusable(*r, w)
                })?;
                taken.push(pair.0);
                Some(pair.0)
            };
            match (self.place[w.index()], reused(false)) {
                (Some(Place::Output(o)), heir) => {
                    // it may be computed in the buffer of an input that is not needed any more
                    if let Some(r) = reused(true).or_else(|| self.dead_input(s, w)) {
                        self.donors[o] = Some(r.index());
                        self.donated[r.index()] = true;
                        taken.push(r);
                    }
                    let heir = heir.and_then(|r| match self.place[r.index()] {
                        Some(Place::Arena(i)) => Some(self.arena_values[i]),
                        _ => None,
                    });
                    self.written[o] = Some((s, heir));
                }
                (Some(_), _) => {}
                (None, Some(r)) => {
                    // the arena place passes on: the read value no longer owns it
                    self.place[w.index()] = self.place[r.index()];
                    self.last_use[r.index()] = usize::MAX;
                }
                (None, _) => {
                    let bytes = self.g.ty(w).bytes();
                    self.place[w.index()] = Some(Place::Arena(self.arena_values.len()));
                    self.arena_values.push(self.arena.take_value(bytes));
                    self.value_bytes.push(bytes);
                }
            }
        }
    }

    fn reusable(&self, r: Value, w: Value) -> bool {
        let same = self.g.ty(r).bytes() == self.g.ty(w).bytes();
        let free = match self.place[r.index()] {
            Some(Place::Input(i)) => !self.donated[i],
            Some(Place::Arena(_)) => true,
            _ => false,
        };
        same && free
    }

    /// An input of the type of `w` that nothing reads from step `s` on.
    fn dead_input(&self, s: usize, w: Value) -> Option<Value> {
        let ty = self.g.ty(w);
        if ty.bytes() == 0 {
            return None;
        }
        (0..self.g.num_inputs()).map(Value::from_index).find(|v| {
            let unread = self.last_use[v.index()] < s;
            unread && !self.donated[v.index()] && self.g.ty(*v) == ty
        })
    }

    /// Ends step `s`: frees the arena places whose last reader it was.
    pub fn end_step(&mut self, s: usize) {
        for v in &self.dying[s] {
            // a place that was passed on is freed by its new owner
            if self.last_use[v.index()] == s
                && let Some(Place::Arena(i)) = self.place[v.index()]
            {
                self.arena.free(self.arena_values[i]);
            }
        }
        self.arena.next_step();
    }

    /// Lays out the arena: the sizes and offsets of a program whose `steps` hold numbers of places up to here.
    pub fn finish(mut self, steps: &mut [Step], results: Results) -> Memory {
        let rooms = if results == Results::Lend { self.rooms() } else { Vec::new() };
        let (outputs, rooms): (Vec<usize>, Vec<Room>) = rooms.into_iter().unzip();
        let layout = std::mem::take(&mut self.arena).layout(&rooms);
        steps.iter_mut().for_each(|step| place_step(step, &layout));
        let views = self.views.iter().map(|&v| self.inside(v)).collect();
        let values = self.arena_values.iter().map(|&place| offset_in_arena(&layout, place).unwrap_or(0)).collect();
        let lent = self.lent(&outputs, &layout);
        Memory { views, values, lent, bytes: layout.bytes, live: layout.live, donors: self.donors }
    }

    /// The slot of what a view is part of, and how many bytes behind it the view begins.
    fn inside(&self, view: Value) -> (Slot, usize) {
        let whole = self.c.alias[view.index()].expect("a view is part of something");
        (self.slot(whole), self.c.first[view.index()] * self.g.ty(whole).dtype.size())
    }

    /// The results that may lend their memory, and until when.
    fn rooms(&self) -> Vec<(usize, Room)> {
        let written = self.written.iter().enumerate().filter_map(|(o, step)| Some((o, (*step)?)));
        let room = |(o, (until, heir)): (usize, (usize, Option<usize>))| {
            (o, Room { bytes: self.g.ty(self.g.outputs()[o]).bytes(), until, heir })
        };
        let mut rooms: Vec<_> = written.map(room).filter(|(_, r)| r.bytes >= MIN_ROOM).collect();
        // those that are written first serve first, so that the others are there for what lives longer
        rooms.sort_by_key(|(_, r)| std::cmp::Reverse(r.bytes));
        rooms.truncate(MAX_ROOMS);
        rooms.sort_by_key(|(_, r)| (r.until, r.bytes));
        rooms
    }

    /// The values that lie in the memory of results, by result.
    fn lent(&self, outputs: &[usize], layout: &Layout) -> Vec<Lent> {
        let mut lent: Vec<Lent> = outputs.iter().map(|&output| Lent { output, values: Vec::new(), bytes: 0 }).collect();
        let first = self.g.num_inputs() + self.g.num_outputs() + self.constants + self.views.len();
        for (i, (&place, &bytes)) in self.arena_values.iter().zip(&self.value_bytes).enumerate() {
            if let At::Room(room, offset) = layout.at[place] {
                lent[room].values.push(((first + i) as Slot, offset));
                lent[room].bytes = lent[room].bytes.max(offset + bytes);
            }
        }
        lent.retain(|l| !l.values.is_empty());
        lent
    }
}

fn offset_in_arena(layout: &Layout, place: usize) -> Option<usize> {
    match layout.at[place] {
        At::Arena(offset) => Some(offset),
        At::Room(..) => None,
    }
}

/// Replaces the numbers of the places a step uses beside its values by their offsets.
fn place_step(step: &mut Step, layout: &Layout) {
    let places = match step {
        Step::Library { scratch, .. } => vec![scratch],
        Step::Control(c) => c.places_mut(),
        Step::Kernel { .. } | Step::Host(_) => return,
    };
    for place in places {
        *place = offset_in_arena(layout, *place).expect("only values lie in rooms");
    }
}
