use super::{Buffer, COMPUTED, Random, check_exact, run};
use gradloom_ir::{DType, Literal, Op, ScatterKind, Shape, Type, infer};
use gradloom_library::prepare;

const INDEX: [DType; 8] =
    [DType::I8, DType::I16, DType::I32, DType::I64, DType::U8, DType::U16, DType::U32, DType::U64];

/// Integers from -2 (0 if unsigned) to `high`.
fn indices(rng: &mut Random, ty: &Type, high: i64) -> Literal {
    let low = if ty.dtype.is_unsigned_int() { 0 } else { -2 };
    let values = (0..ty.numel()).flat_map(|_| {
        let x = rng.range(low, high.max(low)) as f64;
        Literal::scalar(ty.dtype, x).bytes().to_vec()
    });
    Literal::from_bytes(ty.clone(), values.collect()).unwrap()
}

fn shape(it: impl IntoIterator<Item = usize>) -> Shape {
    it.into_iter().collect()
}

#[test]
fn dynamic_slices_and_updates() {
    let mut rng = Random::new(1);
    for case in 0..500 {
        let dtype = DType::ALL[case % DType::ALL.len()];
        let rank = rng.below(5);
        let n: Vec<usize> = (0..rank).map(|_| rng.pick(&[0, 1, 2, 3, 7])).collect();
        let sizes: Vec<usize> = n.iter().map(|&n| rng.below(n + 1)).collect();
        let index = rng.pick(&INDEX);
        let starts: Vec<Literal> = (0..rank).map(|_| indices(&mut rng, &Type::scalar(index), 8)).collect();
        let (x, u) = (rng.literal(&Type::new(dtype, &n)), rng.literal(&Type::new(dtype, &sizes)));
        let with = |first: &[Literal]| -> Vec<Literal> { first.iter().chain(&starts).cloned().collect() };
        check_exact(&Op::DynamicSlice { sizes: shape(sizes) }, &with(std::slice::from_ref(&x)));
        check_exact(&Op::DynamicUpdateSlice {}, &with(&[x, u]));
    }
    let x = rng.literal(&Type::new(DType::F32, &[300, 200]));
    let starts = [Literal::new(&[], &[u64::MAX]), Literal::new(&[], &[1u64])];
    let sliced = |sizes| Op::DynamicSlice { sizes };
    check_exact(&sliced(shape([290, 199])), &[x.clone(), starts[0].clone(), starts[1].clone()]);
    let u = rng.literal(&Type::new(DType::F32, &[290, 199]));
    check_exact(&Op::DynamicUpdateSlice {}, &[x, u, starts[0].clone(), starts[1].clone()]);
}

/// A random split of axes for gather and scatter.
struct Case {
    x: Vec<usize>,
    indices: Vec<usize>,
    vector_dim: usize,
    map: Vec<usize>,
    dropped: Vec<usize>,
    batching: [Vec<usize>; 2],
    grid: Vec<usize>,
    window: Vec<usize>,
}

fn case(rng: &mut Random) -> Case {
    let rank = 1 + rng.below(4);
    let mut axes: Vec<usize> = (0..rank).collect();
    rng.shuffle(&mut axes);
    let nb = rng.below(2.min(rank));
    let nd = rng.below(rank - nb + 1);
    let batching: Vec<usize> = axes[..nb].to_vec();
    let dropped: Vec<usize> = axes[nb..nb + nd].to_vec();
    let mut map: Vec<usize> = axes[nb..].to_vec();
    rng.shuffle(&mut map);
    map.truncate(rng.below(map.len() + 1));
    let x: Vec<usize> = (0..rank).map(|_| rng.pick(&[1, 2, 3, 5, 7])).collect();
    let mut grid: Vec<usize> = (0..nb + rng.below(3)).map(|_| rng.pick(&[1, 2, 3, 5])).collect();
    let mut places: Vec<usize> = (0..grid.len()).collect();
    rng.shuffle(&mut places);
    let places = places[..nb].to_vec();
    places.iter().zip(&batching).for_each(|(&p, &b)| grid[p] = x[b]);
    let vector_dim = if map.len() == 1 && rng.below(2) == 0 { grid.len() } else { rng.below(grid.len() + 1) };
    let mut indices = grid.clone();
    let scalar = map.len() == 1 && vector_dim == grid.len() && rng.below(2) == 0;
    if !scalar {
        indices.insert(vector_dim, map.len());
    }
    let places = places.iter().map(|&p| if !scalar && p >= vector_dim { p + 1 } else { p }).collect();
    let window = (0..rank)
        .filter(|a| !dropped.contains(a) && !batching.contains(a))
        .map(|a| if map.contains(&a) { 1 + rng.below(x[a]) } else { x[a] })
        .collect();
    Case { x, indices, vector_dim, map, dropped, batching: [batching, places], grid, window }
}

/// Places `window` among `grid`: the shape and the window's axes.
fn interleave(rng: &mut Random, grid: &[usize], window: &[usize]) -> (Vec<usize>, Shape) {
    let rank = grid.len() + window.len();
    let mut dims: Vec<usize> = (0..rank).collect();
    rng.shuffle(&mut dims);
    let mut dims = dims[..window.len()].to_vec();
    dims.sort_unstable();
    let (mut g, mut w) = (grid.iter(), window.iter());
    let full = (0..rank).map(|d| *if dims.contains(&d) { w.next() } else { g.next() }.unwrap()).collect();
    (full, shape(dims))
}

#[test]
fn gathers() {
    let mut rng = Random::new(2);
    for i in 0..1500 {
        let c = case(&mut rng);
        let dtype = DType::ALL[i % DType::ALL.len()];
        let (_, offset_dims) = interleave(&mut rng, &c.grid, &c.window);
        let mut window = c.window.iter();
        let slice_sizes = (0..c.x.len())
            .map(|a| {
                let dropped = c.dropped.contains(&a) || c.batching[0].contains(&a);
                if !dropped {
                    *window.next().unwrap()
                } else {
                    usize::from(c.batching[0].contains(&a) || rng.below(8) > 0)
                }
            })
            .collect();
        let op = Op::Gather {
            offset_dims,
            collapsed_slice_dims: shape(c.dropped),
            operand_batching_dims: shape(c.batching[0].clone()),
            start_indices_batching_dims: shape(c.batching[1].clone()),
            start_index_map: shape(c.map),
            index_vector_dim: c.vector_dim,
            slice_sizes,
        };
        let x = rng.literal(&Type::new(dtype, &c.x));
        let index = Type::new(rng.pick(&INDEX), &c.indices);
        check_exact(&op, &[x, indices(&mut rng, &index, 8)]);
    }
}

#[test]
fn scatters() {
    let mut rng = Random::new(3);
    for i in 0..1500 {
        let c = case(&mut rng);
        let dtype = COMPUTED[i % COMPUTED.len()];
        let (updates, update_window_dims) = interleave(&mut rng, &c.grid, &c.window);
        let op = Op::Scatter {
            update_window_dims,
            inserted_window_dims: shape(c.dropped),
            input_batching_dims: shape(c.batching[0].clone()),
            scatter_indices_batching_dims: shape(c.batching[1].clone()),
            scatter_dims_to_operand_dims: shape(c.map),
            index_vector_dim: c.vector_dim,
            kind: rng.pick(ScatterKind::ALL),
        };
        let x = rng.literal(&Type::new(dtype, &c.x));
        let index = Type::new(rng.pick(&INDEX), &c.indices);
        let index = indices(&mut rng, &index, 6);
        check_exact(&op, &[x, index, rng.literal(&Type::new(dtype, &updates))]);
    }
}

fn rows(kind: ScatterKind) -> Op {
    Op::Scatter {
        update_window_dims: shape([1]),
        inserted_window_dims: shape([0]),
        input_batching_dims: shape([]),
        scatter_indices_batching_dims: shape([]),
        scatter_dims_to_operand_dims: shape([0]),
        index_vector_dim: 1,
        kind,
    }
}

#[test]
fn rows_of_a_table() {
    let mut rng = Random::new(4);
    let x = rng.literal(&Type::new(DType::F32, &[100, 64]));
    let index = indices(&mut rng, &Type::new(DType::I32, &[2000]), 102);
    let op = Op::Gather {
        offset_dims: shape([1]),
        collapsed_slice_dims: shape([0]),
        operand_batching_dims: shape([]),
        start_indices_batching_dims: shape([]),
        start_index_map: shape([0]),
        index_vector_dim: 1,
        slice_sizes: shape([1, 64]),
    };
    check_exact(&op, &[x.clone(), index.clone()]);
    let u = rng.literal(&Type::new(DType::F32, &[2000, 64]));
    for &kind in ScatterKind::ALL {
        check_exact(&rows(kind), &[x.clone(), index.clone(), u.clone()]);
    }
}

#[test]
fn updates_in_place() {
    let mut rng = Random::new(5);
    let x = rng.literal(&Type::new(DType::F32, &[9, 5]));
    let index = indices(&mut rng, &Type::new(DType::I32, &[4]), 9);
    let u = rng.literal(&Type::new(DType::F32, &[4, 5]));
    let start = Literal::new(&[], &[2i32]);
    let cases = [
        (rows(ScatterKind::Add), vec![x.clone(), index, u.clone()]),
        (Op::DynamicUpdateSlice {}, vec![x, u, start.clone(), start]),
    ];
    for (op, args) in cases {
        let want = run(&op, &args);
        let types: Vec<Type> = args.iter().map(|a| a.ty().clone()).collect();
        let call = prepare(&op, &types, &infer(&op, &types).unwrap()).unwrap().unwrap();
        let mut buffers: Vec<Buffer> = args.iter().map(|a| Buffer::new(a.bytes().len(), 0)).collect();
        buffers.iter_mut().zip(&args).for_each(|(b, a)| b.load(a.bytes()));
        let ins: Vec<*const u8> = buffers.iter_mut().map(|b| b.ptr().cast_const()).collect();
        let out = buffers[0].ptr();
        // SAFETY: all buffers have the sizes of their types; these ops allow the result to be the first operand.
        unsafe { call.run(&ins, &[out], std::ptr::null_mut()) };
        assert_eq!(buffers[0].bytes(), want[0].bytes(), "{op:?}");
    }
}

/// Enough updates for several threads: windows that are rows, columns, single elements or overlap in part.
#[test]
fn many_updates() {
    let mut rng = Random::new(6);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().expect("a pool");
    for dtype in [DType::F32, DType::F64, DType::I8, DType::Bool, DType::BF16, DType::C64] {
        for (x, indices_of, updates, window, inserted, map) in [
            (&[257, 37][..], [4001, 1], &[4001, 37][..], &[1][..], &[0][..], &[0][..]),
            (&[37, 257], [4001, 1], &[37, 4001], &[0], &[1], &[1]),
            (&[5000], [100_003, 1], &[100_003], &[], &[0], &[0]),
            (&[3], [120_000, 1], &[120_000], &[], &[0], &[0]),
            (&[200, 300], [100_001, 2], &[100_001], &[], &[0, 1], &[0, 1]),
            (&[90, 40], [3001, 2], &[3001, 7, 5], &[1, 2], &[], &[0, 1]),
            (&[9, 300, 200], [3, 1], &[3, 299, 200], &[1, 2], &[0], &[0]),
        ] {
            let x = rng.literal(&Type::new(dtype, x));
            let index = indices(&mut rng, &Type::new(DType::I32, &indices_of), 300);
            let updates = rng.literal(&Type::new(dtype, updates));
            for kind in [ScatterKind::Set, ScatterKind::Add, ScatterKind::Max] {
                if dtype.is_complex() && kind == ScatterKind::Max {
                    continue;
                }
                let op = Op::Scatter {
                    update_window_dims: shape(window.iter().copied()),
                    inserted_window_dims: shape(inserted.iter().copied()),
                    input_batching_dims: shape([]),
                    scatter_indices_batching_dims: shape([]),
                    scatter_dims_to_operand_dims: shape(map.iter().copied()),
                    index_vector_dim: 1,
                    kind,
                };
                pool.install(|| check_exact(&op, &[x.clone(), index.clone(), updates.clone()]));
            }
        }
    }
}
