use super::{COMPUTED, Random, check_exact};
use gradloom_ir::{DType, Op, ReduceKind, Shape, Type, infer};

fn shape(it: impl IntoIterator<Item = usize>) -> Shape {
    it.into_iter().collect()
}

struct Case {
    x: Vec<usize>,
    window: Shape,
    strides: Shape,
    padding: Vec<(i64, i64)>,
    dilation: [Shape; 2],
}

fn case(rng: &mut Random) -> Case {
    let rank = rng.below(5);
    let x: Vec<usize> = (0..rank).map(|_| rng.pick(&[0, 1, 2, 3, 5, 6, 7])).collect();
    let plain: Vec<bool> = (0..rank).map(|_| rng.below(2) == 0).collect();
    let mut attr = |n: usize| -> Shape { plain.iter().map(|&p| if p { 1 } else { 1 + rng.below(n) }).collect() };
    let (window, strides, dilation) = (attr(3), attr(3), [attr(2), attr(2)]);
    let padding = plain.iter().map(|&p| if p { (0, 0) } else { (rng.range(-1, 2), rng.range(-1, 2)) }).collect();
    Case { x, window, strides, padding, dilation }
}

#[test]
fn reduce_window_with_random_attributes() {
    let mut rng = Random::new(1);
    for i in 0..2000 {
        let c = case(&mut rng);
        let dtype = COMPUTED[i % COMPUTED.len()];
        let [base_dilation, window_dilation] = c.dilation;
        let kind = rng.pick(ReduceKind::ALL);
        let op = Op::ReduceWindow {
            kind,
            window: c.window,
            strides: c.strides,
            padding: c.padding,
            base_dilation,
            window_dilation,
        };
        let ty = Type::new(dtype, &c.x);
        if infer(&op, std::slice::from_ref(&ty)).is_ok() {
            check_exact(&op, &[rng.literal(&ty)]);
            check_exact(&op, &[rng.awkward(&ty)]);
        }
    }
}

#[test]
fn selections_with_random_attributes() {
    let mut rng = Random::new(2);
    for i in 0..2000 {
        let c = case(&mut rng);
        let key_ty = Type::new(COMPUTED[i % COMPUTED.len()], &c.x);
        let dtype = rng.pick(&COMPUTED);
        let kind = rng.pick(&[ReduceKind::Max, ReduceKind::Min]);
        let (window, strides, padding) = (c.window, c.strides, c.padding);
        let op =
            Op::SelectAndGather { kind, window: window.clone(), strides: strides.clone(), padding: padding.clone() };
        let x = rng.literal(&key_ty.with_dtype(dtype));
        let windows = infer(&op, &[x.ty().clone(), key_ty.clone()]).unwrap()[0].clone();
        for key in [rng.literal(&key_ty), rng.awkward(&key_ty)] {
            check_exact(&op, &[x.clone(), key.clone()]);
            if dtype != DType::Bool {
                let op = Op::SelectAndScatter {
                    kind,
                    window: window.clone(),
                    strides: strides.clone(),
                    padding: padding.clone(),
                };
                check_exact(&op, &[rng.literal(&windows), key]);
            }
        }
    }
}

#[test]
fn pooling_on_several_threads() {
    let mut rng = Random::new(3);
    for (window, strides, pad) in [(2, 2, 0), (3, 2, 1), (3, 1, 1)] {
        for channels_last in [true, false] {
            let spatial =
                |n: usize, other: usize| shape(if channels_last { [other, n, n, other] } else { [other, other, n, n] });
            let x = Type::new(DType::F32, &if channels_last { [8, 28, 28, 20] } else { [8, 20, 28, 28] });
            let (window, strides) = (spatial(window, 1), spatial(strides, 1));
            let padding: Vec<(i64, i64)> = spatial(pad, 0).iter().map(|&p| (p as i64, p as i64)).collect();
            let ones = shape([1; 4]);
            let (base_dilation, window_dilation) = (ones.clone(), ones);
            let x = rng.literal(&x);
            for kind in [ReduceKind::Max, ReduceKind::Sum] {
                let op = Op::ReduceWindow {
                    kind,
                    window: window.clone(),
                    strides: strides.clone(),
                    padding: padding.clone(),
                    base_dilation: base_dilation.clone(),
                    window_dilation: window_dilation.clone(),
                };
                check_exact(&op, std::slice::from_ref(&x));
            }
            let kind = ReduceKind::Max;
            let op = Op::SelectAndGather {
                kind,
                window: window.clone(),
                strides: strides.clone(),
                padding: padding.clone(),
            };
            let out = infer(&op, &[x.ty().clone(), x.ty().clone()]).unwrap()[0].clone();
            check_exact(&op, &[x.clone(), x.clone()]);
            check_exact(&Op::SelectAndScatter { kind, window, strides, padding }, &[rng.literal(&out), x]);
        }
    }
}
