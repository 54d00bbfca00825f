//! Parts that only some processors reach through `prepare`.

use gradloom_ir::bf16;
#[cfg(target_arch = "x86_64")]
use gradloom_library::parts::narrow_tile;
use gradloom_library::parts::{Multiplier, Product, Strides, multiply_bf16, multiply_f32};

/// The tiles of machines without registers of a whole line.
#[cfg(target_arch = "x86_64")]
fn check_tile<T: Copy + PartialEq + std::fmt::Debug>(of: impl Fn(usize) -> T) {
    let side = 64 / size_of::<T>();
    let x: Vec<T> = (0..side * (side + 3)).map(&of).collect();
    for streamed in [false, true] {
        let mut y = vec![of(0); side * 2 * side + 64];
        let start = narrow_tile(&x, side + 3, &mut y, 2 * side, streamed);
        for i in 0..side {
            for j in 0..side {
                assert_eq!(y[start + i * 2 * side + j], x[j * (side + 3) + i]);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn tiles_of_every_size() {
    check_tile(|i| (i * 7) as u8);
    check_tile(|i| (i * 77) as u16);
    check_tile(|i| i as u32);
    check_tile(|i| i as u64);
}

/// Small integers, the same ones always.
fn integers() -> impl FnMut() -> i32 {
    let mut seed = 1u64;
    move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((seed >> 33) % 17) as i32 - 8
    }
}

/// Of a matrix that lies in order (0), turned (1), or with other numbers between (2).
fn strides(rows: usize, columns: usize, how: usize) -> Strides {
    match how {
        0 => Strides { row: columns as isize, col: 1 },
        1 => Strides { row: 1, col: rows as isize },
        _ => Strides { row: 2 * columns as isize, col: 2 },
    }
}

/// The sums of a product of integers, row after row.
fn sums(p: &Product, l: &[i32], r: &[i32]) -> Vec<i32> {
    let at = |s: Strides, i: usize, j: usize| i * s.row as usize + j * s.col as usize;
    let sum = |o: usize| (0..p.k).map(|t| l[at(p.lhs, o / p.n, t)] * r[at(p.rhs, t, o % p.n)]).sum();
    (0..p.m * p.n).map(sum).collect()
}

/// Of small integers every sum is exact. Products with few rows have a code of their own on some processors, those by transposed
/// matrices another one.
#[test]
fn products_with_forms_of_their_own() {
    let mut next = integers();
    let few_rows = [(63, 300, 130), (64, 300, 130), (65, 257, 160), (100, 1200, 128), (128, 70, 261), (129, 70, 261)];
    let turned = [(7, 16, 16), (8, 16, 15), (8, 16, 16), (9, 15, 40), (9, 33, 47), (10, 600, 1000), (8, 70000, 200)];
    let columns_apart =
        [(129, 512, 64), (130, 1024, 101), (131, 2048, 300), (512, 17, 256), (1024, 150, 257), (512, 5000, 256)];
    for (m, k, n) in few_rows.into_iter().chain(turned).chain(columns_apart) {
        for (left, right) in [(0, 0), (1, 0), (0, 1), (1, 1), (2, 2)] {
            let [l, r] = [m * k, k * n].map(|size| (0..2 * size).map(|_| next()).collect::<Vec<i32>>());
            // rows of the result further apart than they are long
            let dst = Strides { row: n as isize + 3, col: 1 };
            let p = Product { m, n, k, dst, lhs: strides(m, k, left), rhs: strides(k, n, right) };
            let want = sums(&p, &l, &r);
            let [lv, rv] = [&l, &r].map(|v| v.iter().map(|&x| x as f32).collect::<Vec<_>>());
            for (add, par) in [(false, false), (true, false), (false, true), (true, true)] {
                let before = if add { 5.0 } else { f32::INFINITY };
                let mut out = vec![before; m * (n + 3)];
                multiply_f32(p, &mut out, &lv, &rv, add, par);
                for (i, row) in out.chunks(n + 3).enumerate() {
                    let is = |(&x, &sum): (&f32, &i32)| x == (if add { sum + 5 } else { sum }) as f32;
                    assert!(
                        row[..n].iter().zip(&want[i * n..]).all(is),
                        "{m}x{k}x{n}, {left}, {right}, row {i}, {add}, {par}"
                    );
                    assert!(row[n..].iter().all(|&x| x == before), "written behind row {i}");
                }
            }
        }
    }
}

/// Small integers: every sum is exact, so only the one rounding is left.
#[test]
fn products_are_exact_but_for_one_rounding() {
    let mut next = integers();
    let sizes = [
        (1, 1, 1),
        (12, 2, 32),
        (13, 3, 33),
        (5, 64, 70),
        (37, 129, 31),
        (32, 32, 32),
        (130, 257, 100),
        (40, 9000, 70),
    ];
    for (m, k, n) in sizes {
        for (left, right) in [(0, 0), (1, 0), (0, 1), (1, 1), (2, 2)] {
            let [l, r] = [m * k, k * n].map(|size| (0..2 * size).map(|_| next()).collect::<Vec<i32>>());
            let p = Product { m, n, k, dst: strides(m, n, 0), lhs: strides(m, k, left), rhs: strides(k, n, right) };
            let want: Vec<bf16> = sums(&p, &l, &r).into_iter().map(|sum| bf16::from_f32(sum as f32)).collect();
            let [lv, rv] = [&l, &r].map(|v| v.iter().map(|&x| bf16::from_f32(x as f32)).collect::<Vec<_>>());
            for (by, par) in Multiplier::available().flat_map(|by| [(by, false), (by, true)]) {
                let mut out = vec![bf16::from_f32(f32::NAN); m * n];
                multiply_bf16(p, &mut out, &lv, &rv, by, par);
                assert_eq!(out, want, "{m}x{k}x{n}, {left} and {right}, {by:?}, parallel {par}");
            }
        }
    }
}

#[test]
fn what_is_not_finite_stays_so() {
    let values = [f32::INFINITY, f32::NAN, -f32::INFINITY, 1.0].map(bf16::from_f32);
    let dense = |columns: isize| Strides { row: columns, col: 1 };
    let p = Product { m: 4, n: 1, k: 1, dst: dense(1), lhs: dense(1), rhs: dense(1) };
    for by in Multiplier::available() {
        let mut out = [bf16::from_f32(0.0); 4];
        multiply_bf16(p, &mut out, &values, &[bf16::from_f32(1.0)], by, false);
        assert!(out[1].is_nan(), "{by:?}");
        assert_eq!([out[0], out[2], out[3]], [values[0], values[2], values[3]], "{by:?}");
    }
}
