//! Sorting along an axis by several keys, stable: the order is found first, as the places that the elements of a lane come
//! from, then each operand is moved.
//!
//! A lane of up to [`TILE`] elements is sorted in shared memory by a bitonic network (Batcher, Sorting networks and their
//! applications, 1968). A longer one is sorted digit by digit from the last (radix sort): the elements of each tile are
//! counted by digit, the counts are added up, and each element goes to its place among those of its digit.

use super::running::cumulative;
use super::{Launches, Operand, each, index_dtype, load_words, param, store_words, words};
use crate::grid::{Build, GridKernel, Memory, Reg, SHARED, Source, WARP, blocks};
use crate::kernel::{Inst, Param};
use gradloom_ir::{Binary, Comparison, DType, Literal, ReduceKind, Result, Type, Unary};

/// Elements that a block sorts in shared memory.
const TILE: usize = 1024;
/// Bits of a digit.
const BITS: u32 = 4;
const DIGITS: usize = 1 << BITS;
/// Elements of a block that counts or moves.
const PART: usize = 256;

/// Where a lane lies: element `i` of lane `l` is at `outer n inner + i inner + rest`.
#[derive(Clone, Copy)]
struct Lanes {
    n: usize,
    inner: usize,
    count: usize,
}

impl Lanes {
    fn place(self, b: &mut Build, lane: Reg, i: Reg) -> Reg {
        let (outer, rest) = b.divide(lane, self.inner);
        let outer = b.times(outer, (self.n * self.inner) as i64);
        let first = b.binary(Binary::Add, outer, rest);
        let by = b.times(i, self.inner as i64);
        b.binary(Binary::Add, first, by)
    }
}

/// Unsigned numbers in the order of the elements at `at`: one, of a complex number two.
fn order_keys(b: &mut Build, t: &Type, from: Memory, at: Reg) -> Vec<Reg> {
    let parts = load_words(b, words(t), from, at);
    parts.into_iter().map(|x| order_key(b, x)).collect()
}

/// The bits of a number such that unsigned comparison is its order: all NaN last, -0 before 0.
fn order_key(b: &mut Build, x: Reg) -> Reg {
    let x = b.widened_half(x);
    let dtype = b.dtype(x);
    let bits = match dtype {
        DType::Bool => return b.converted(x, DType::U32),
        DType::F32 => DType::U32,
        DType::F64 => DType::U64,
        d if d.is_signed_int() => {
            // the least number becomes 0
            let to = if d == DType::I64 { DType::U64 } else { DType::U32 };
            let wide = b.converted(x, if d == DType::I64 { DType::I64 } else { DType::I32 });
            let word = b.set(to, Source::Scalar(Inst::Bitcast(to, wide)));
            let top = b.constant(top_bit(to));
            return b.binary(Binary::Xor, word, top);
        }
        DType::U64 => return x,
        _ => return b.converted(x, DType::U32),
    };
    let word = b.set(bits, Source::Scalar(Inst::Bitcast(bits, x)));
    let top = b.constant(top_bit(bits));
    let flipped = b.set(bits, Source::Scalar(Inst::Unary(Unary::Not, word)));
    let raised = b.binary(Binary::Or, word, top);
    let negative = b.compare(Comparison::Ge, word, top);
    let key = b.select(negative, flipped, raised);
    let last = b.constant(Literal::scalar(bits, 0.0));
    let last = b.set(bits, Source::Scalar(Inst::Unary(Unary::Not, last)));
    let is_nan = b.compare(Comparison::Ne, x, x);
    b.select(is_nan, last, key)
}

fn top_bit(dtype: DType) -> Literal {
    match dtype {
        DType::U64 => Literal::new(&[], &[1u64 << 63]),
        _ => Literal::new(&[], &[1u32 << 31]),
    }
}

pub(super) fn sort(args: &[Type], axis: usize, num_keys: usize) -> Result<Launches> {
    let shape = &args[0].shape;
    let n = shape[axis];
    let mut all = Launches::default();
    if args[0].numel() == 0 {
        return Ok(all);
    }
    let inner = shape[axis + 1..].iter().product();
    let lanes = Lanes { n, inner, count: args[0].numel() / n };
    let keys: Vec<(Type, Operand)> = (0..num_keys).map(|k| (args[k].clone(), Operand::Arg(k))).collect();
    let order = order(&mut all, &keys, lanes)?;
    for (k, t) in args.iter().enumerate() {
        let w = words(t);
        let from = order_type(lanes);
        let kernel = each("move_sorted", &[t, &from, t], t.numel(), |b, number| {
            let (lane, i) = b.divide(number, n);
            let source = b.load(Memory::Param(1), number);
            let source = b.as_index(source);
            let source = lanes.place(b, lane, source);
            let element = load_words(b, w, Memory::Param(0), source);
            let target = lanes.place(b, lane, i);
            store_words(b, w, Memory::Param(2), target, element);
        })?;
        all.push(kernel, vec![Operand::Arg(k), order, Operand::Result(k)]);
    }
    Ok(all)
}

/// The places that the elements of a vector come from when it is sorted by a key.
pub(super) fn order_of(all: &mut Launches, key: &Type, at: Operand) -> Result<Operand> {
    order(all, &[(key.clone(), at)], Lanes { n: key.numel(), inner: 1, count: 1 })
}

fn order(all: &mut Launches, keys: &[(Type, Operand)], lanes: Lanes) -> Result<Operand> {
    // a place, and for each part of a key a word of up to 8 bytes
    let words: usize = keys.iter().map(|(t, _)| words(t).per_element).sum();
    if lanes.n > TILE || lanes.n.next_power_of_two() * (4 + 8 * words) > SHARED {
        return by_digits(all, keys, lanes);
    }
    let order = all.take(order_type(lanes).bytes());
    let (types, mut operands): (Vec<Type>, Vec<Operand>) = keys.iter().cloned().unzip();
    operands.push(order);
    all.push(network(&types, lanes)?, operands);
    Ok(order)
}

/// For each lane the places its elements come from.
fn order_type(lanes: Lanes) -> Type {
    Type::new(DType::U32, &[lanes.count, lanes.n])
}

/// A block a lane, which it sorts in shared memory: keys beside the places they come from, which break ties.
fn network(keys: &[Type], lanes: Lanes) -> Result<GridKernel> {
    let n = lanes.n;
    let size = n.next_power_of_two().max(2);
    let threads = (size / 2).next_multiple_of(WARP as usize).min(TILE / 2) as u32;
    let order = order_type(lanes);
    let params: Vec<Param> = keys.iter().chain([&order]).map(param).collect();
    let blocks = blocks("sort", lanes.count, 1)?;
    let mut build = Build::new("sort", &params, blocks, threads, index_dtype(keys.iter().chain([&order])));
    let b = &mut build;
    let (lane, thread) = (b.block(), b.thread());
    let places = b.shared(DType::U32, size);
    let mut shared: Vec<Memory> = Vec::new();
    let (step, end) = (b.index(i64::from(threads)), b.index(size as i64));
    let len = b.index(n as i64);
    for (k, t) in keys.iter().enumerate() {
        let word = |d: DType| if d.size() == 8 { DType::U64 } else { DType::U32 };
        let columns: Vec<Memory> = (0..words(t).per_element).map(|_| b.shared(word(t.dtype.real()), size)).collect();
        b.count(thread, end, step, |b, i| {
            // what is not there is sorted by its place, which is behind all
            let last = b.index(n as i64 - 1);
            let seen = b.binary(Binary::Min, i, last);
            let at = lanes.place(b, lane, seen);
            let found = order_keys(b, t, Memory::Param(k as u32), at);
            found.into_iter().zip(&columns).for_each(|(x, &to)| b.store(to, i, x));
        });
        shared.extend(columns);
    }
    b.count(thread, end, step, |b, i| {
        let place = b.converted(i, DType::U32);
        b.store(places, i, place);
    });
    b.barrier();
    let pairs = b.index(size as i64 / 2);
    let mut k = 2;
    while k <= size {
        let mut j = k / 2;
        while j > 0 {
            b.count(thread, pairs, step, |b, pair| {
                let (high, low) = b.divide(pair, j);
                let first = b.times(high, 2 * j as i64);
                let x = b.binary(Binary::Add, first, low);
                let y = b.plus(x, j as i64);
                let (run, _) = b.divide(x, k);
                let (_, odd) = b.divide(run, 2);
                let zero = b.index(0);
                let rises = b.compare(Comparison::Eq, odd, zero);
                exchange_pair(b, places, &shared, n, [x, y], rises);
            });
            b.barrier();
            j /= 2;
        }
        k *= 2;
    }
    let first = b.times(lane, n as i64);
    b.count(thread, len, step, |b, i| {
        let place = b.load(places, i);
        let at = b.binary(Binary::Add, first, i);
        b.store(Memory::Param(keys.len() as u32), at, place);
    });
    Ok(build.finish())
}

/// Puts two elements in order, rising or falling.
fn exchange_pair(b: &mut Build, places: Memory, keys: &[Memory], n: usize, at: [Reg; 2], rises: Reg) {
    let [x, y] = at.map(|i| b.load(places, i));
    let columns: Vec<[Reg; 2]> = keys.iter().map(|&k| at.map(|i| b.load(k, i))).collect();
    // whether y comes first: the last key decides where those before are equal, the place where all are
    let mut first = b.compare(Comparison::Lt, y, x);
    for &[p, q] in columns.iter().rev() {
        let (less, equal) = (b.compare(Comparison::Lt, q, p), b.compare(Comparison::Eq, q, p));
        let decided = b.both(equal, first);
        first = b.either(less, decided);
    }
    // places beyond the lane are last whatever their keys
    let len = b.constant(Literal::new(&[], &[n as u32]));
    let [x_exists, y_exists] = [x, y].map(|place| b.compare(Comparison::Lt, place, len));
    let both_exist = b.both(x_exists, y_exists);
    let later = b.compare(Comparison::Lt, y, x);
    let first = b.select(both_exist, first, later);
    let swaps = b.compare(Comparison::Eq, first, rises);
    b.when(swaps, |b| {
        b.store(places, at[0], y);
        b.store(places, at[1], x);
        for (&k, &[p, q]) in keys.iter().zip(&columns) {
            b.store(k, at[0], q);
            b.store(k, at[1], p);
        }
    });
}

/// Radix sort of the places by the digits of all keys, the last key's first.
fn by_digits(all: &mut Launches, keys: &[(Type, Operand)], lanes: Lanes) -> Result<Operand> {
    let order = order_type(lanes);
    let parts = lanes.n.div_ceil(PART);
    let counts = Type::new(DType::U32, &[lanes.count, DIGITS * parts]);
    let turns = [all.take(order.bytes()), all.take(order.bytes())];
    let (counted, sums) = (all.take(counts.bytes()), all.take(counts.bytes()));
    let start = each("places", &[&order], order.numel(), |b, number| {
        let (_, i) = b.divide(number, lanes.n);
        let i = b.converted(i, DType::U32);
        b.store(Memory::Param(0), number, i);
    })?;
    all.push(start, vec![turns[0]]);
    let mut turn = 0;
    for (key, at) in keys.iter().rev() {
        for part in (0..words(key).per_element).rev() {
            // no key has more bits than its dtype; signs are part of them
            let bits = match key.dtype.real() {
                DType::Bool => 1,
                DType::I64 | DType::U64 | DType::F64 => 64,
                // signed numbers and 16-bit floats are compared as words
                d if d.is_signed_int() || d.is_float() => 32,
                d => 8 * d.size() as u32,
            };
            for shift in (0..bits).step_by(BITS as usize) {
                let digit = Digit { key, part, shift };
                all.push(count(digit, lanes, &order, &counts)?, vec![*at, turns[turn], counted]);
                let mut sum = cumulative(ReduceKind::Sum, &counts, 1, false)?;
                for launch in sum.launches.drain(..) {
                    let place = |o: &Operand| if matches!(o, Operand::Arg(_)) { counted } else { sums };
                    let operands = launch.operands.iter().map(place).collect();
                    all.push(launch.kernel, operands);
                }
                let operands = vec![*at, turns[turn], counted, sums, turns[1 - turn]];
                all.push(distribute(digit, lanes, &order, &counts)?, operands);
                turn = 1 - turn;
            }
        }
    }
    Ok(turns[turn])
}

/// A digit of a key.
#[derive(Clone, Copy)]
struct Digit<'a> {
    key: &'a Type,
    /// Of a complex key, which part.
    part: usize,
    /// Its lowest bit.
    shift: u32,
}

impl Digit<'_> {
    /// Of the element whose place is `place`, as a u32.
    fn of(self, b: &mut Build, lanes: Lanes, lane: Reg, place: Reg) -> Reg {
        let at = lanes.place(b, lane, place);
        let key = order_keys(b, self.key, Memory::Param(0), at)[self.part];
        let dtype = b.dtype(key);
        let shift = b.constant(Literal::scalar(dtype, f64::from(self.shift)));
        let mask = b.constant(Literal::scalar(dtype, (DIGITS - 1) as f64));
        let shifted = b.binary(Binary::ShiftRightLogical, key, shift);
        let digit = b.binary(Binary::And, shifted, mask);
        b.converted(digit, DType::U32)
    }
}

/// The block's lane and part of it, and where the part begins.
fn part_of_lane(b: &mut Build, lanes: Lanes) -> (Reg, Reg, Reg) {
    let block = b.block();
    let (lane, part) = b.divide(block, lanes.n.div_ceil(PART));
    let first = b.times(part, PART as i64);
    (lane, part, first)
}

/// How many elements of each part have each digit: `[lane, digit, part]`. A block a part; its first threads count a digit each.
fn count(digit: Digit, lanes: Lanes, order: &Type, counts: &Type) -> Result<GridKernel> {
    let parts = lanes.n.div_ceil(PART);
    let params: Vec<Param> = [digit.key, order, counts].map(param).to_vec();
    let index = index_dtype([digit.key, order, counts]);
    let blocks = blocks("sort", lanes.count * parts, 1)?;
    let mut b = Build::new("count_digits", &params, blocks, PART as u32, index);
    let digits = b.shared(DType::U32, PART);
    let (lane, part, first) = part_of_lane(&mut b, lanes);
    read_digits(&mut b, digit, lanes, lane, first, digits);
    let thread = b.thread();
    let end = b.index(DIGITS as i64);
    let counts_one = b.compare(Comparison::Lt, thread, end);
    b.when(counts_one, |b| {
        let own = b.converted(thread, DType::U32);
        let total = b.constant(Literal::new(&[], &[0u32]));
        b.times_over(PART, |b, i| {
            let other = b.load(digits, i);
            let same = b.compare(Comparison::Eq, other, own);
            let one = b.converted(same, DType::U32);
            let sum = b.binary(Binary::Add, total, one);
            b.assign(total, sum);
        });
        let at = count_place(b, lane, thread, part, parts);
        b.store(Memory::Param(2), at, total);
    });
    Ok(b.finish())
}

/// The digits of a part in shared memory; beyond the lane's end what is no digit.
fn read_digits(b: &mut Build, digit: Digit, lanes: Lanes, lane: Reg, first: Reg, to: Memory) -> Reg {
    let thread = b.thread();
    let i = b.binary(Binary::Add, first, thread);
    let end = b.index(lanes.n as i64);
    let exists = b.compare(Comparison::Lt, i, end);
    let own = b.constant(Literal::new(&[], &[DIGITS as u32]));
    let lane_first = b.times(lane, lanes.n as i64);
    b.when(exists, |b| {
        let at = b.binary(Binary::Add, lane_first, i);
        let place = b.load(Memory::Param(1), at);
        let place = b.as_index(place);
        let found = digit.of(b, lanes, lane, place);
        b.assign(own, found);
    });
    b.store(to, thread, own);
    b.barrier();
    own
}

fn count_place(b: &mut Build, lane: Reg, digit: Reg, part: Reg, parts: usize) -> Reg {
    let lane = b.times(lane, (DIGITS * parts) as i64);
    let digit = b.times(digit, parts as i64);
    let at = b.binary(Binary::Add, lane, digit);
    b.binary(Binary::Add, at, part)
}

/// Moves each place behind all of lower digits, of the same digit in parts before, and of the same digit before it in its part.
fn distribute(digit: Digit, lanes: Lanes, order: &Type, counts: &Type) -> Result<GridKernel> {
    let parts = lanes.n.div_ceil(PART);
    let params: Vec<Param> = [digit.key, order, counts, counts, order].map(param).to_vec();
    let index = index_dtype([digit.key, order, counts]);
    let blocks = blocks("sort", lanes.count * parts, 1)?;
    let mut b = Build::new("distribute", &params, blocks, PART as u32, index);
    let digits = b.shared(DType::U32, PART);
    let (lane, part, first) = part_of_lane(&mut b, lanes);
    let own = read_digits(&mut b, digit, lanes, lane, first, digits);
    let thread = b.thread();
    let i = b.binary(Binary::Add, first, thread);
    let end = b.index(lanes.n as i64);
    let exists = b.compare(Comparison::Lt, i, end);
    b.when(exists, |b| {
        let before = b.constant(Literal::new(&[], &[0u32]));
        let (zero, one) = (b.index(0), b.index(1));
        b.count(zero, thread, one, |b, i| {
            let other = b.load(digits, i);
            let same = b.compare(Comparison::Eq, other, own);
            let one = b.converted(same, DType::U32);
            let sum = b.binary(Binary::Add, before, one);
            b.assign(before, sum);
        });
        let digit = b.as_index(own);
        let at = count_place(b, lane, digit, part, parts);
        // the sums include the part's own count
        let (through, count) = (b.load(Memory::Param(3), at), b.load(Memory::Param(2), at));
        let start = b.binary(Binary::Sub, through, count);
        let target = b.binary(Binary::Add, start, before);
        let target = b.as_index(target);
        let lane_first = b.times(lane, lanes.n as i64);
        let from = b.binary(Binary::Add, lane_first, i);
        let to = b.binary(Binary::Add, lane_first, target);
        let place = b.load(Memory::Param(1), from);
        b.store(Memory::Param(4), to, place);
    });
    Ok(b.finish())
}
