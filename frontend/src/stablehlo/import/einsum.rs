//! Einstein's sums of one or two arrays. The op is on StableHLO's way out and JAX writes `dot_general` instead, so forms
//! that no producer is known to write, diagonals and ellipses, are refused.

use super::super::syntax::Attr;
use super::{Call, Lower, linalg};
use gradloom_ir::{Op, Result, Value, Values};
use smallvec::smallvec;

pub(super) const RULES: &[(&str, Lower)] = &[("einsum", einsum), ("unary_einsum", einsum)];

/// Sums over letters that one operand alone has and the result lacks, then a product over those both have, then a
/// transposition.
fn einsum(c: &mut Call<'_, '_>) -> Result<Values> {
    let config = match c.attr(&["config", "einsum_config"]) {
        Some(Attr::Str(text)) => *text,
        _ => return Err(c.error("the attribute `einsum_config` is missing")),
    };
    let malformed = c.error(format!("\"{config}\" is not of the form \"ab,bc->ac\", or not of these operands"));
    let Some((inputs, out)) = config.split_once("->") else { return Err(malformed) };
    let inputs: Vec<Vec<char>> = inputs.split(',').map(|i| i.trim().chars().collect()).collect();
    let out: Vec<char> = out.trim().chars().collect();
    for letters in inputs.iter().chain([&out]) {
        let plain = letters.iter().all(char::is_ascii_alphabetic);
        if !plain || (1..letters.len()).any(|i| letters[..i].contains(&letters[i])) {
            return Err(c.unsupported(format!("\"{config}\": diagonals and ellipses are not supported")));
        }
    }
    let args = std::mem::take(&mut c.args);
    let fits = inputs.len() == args.len() && inputs.iter().zip(&args).all(|(i, &x)| i.len() == c.ty(x).rank());
    if !fits || out.iter().any(|l| !inputs.iter().any(|i| i.contains(l))) {
        return Err(malformed);
    }
    let summed = |c: &mut Call<'_, '_>, i: usize| -> (Value, Vec<char>) {
        let stays = |l: &char| out.contains(l) || inputs.iter().enumerate().any(|(j, o)| j != i && o.contains(l));
        let axes: Vec<usize> = (0..inputs[i].len()).filter(|&a| !stays(&inputs[i][a])).collect();
        (c.b().sum(args[i], &axes), inputs[i].iter().copied().filter(stays).collect())
    };
    let (y, letters) = match args.len() {
        1 => summed(c, 0),
        2 => {
            let ((x, lhs), (y, rhs)) = (summed(c, 0), summed(c, 1));
            let place = |letters: &[char], l: char| letters.iter().position(|&m| m == l);
            let shared = |stays: bool| -> Vec<(usize, usize, char)> {
                let both = |(i, &l): (usize, &char)| Some((i, place(&rhs, l)?, l));
                lhs.iter().enumerate().filter_map(both).filter(|(.., l)| out.contains(l) == stays).collect()
            };
            let (batch, contract) = (shared(true), shared(false));
            let op = Op::DotGeneral {
                lhs_batch: batch.iter().map(|b| b.0).collect(),
                rhs_batch: batch.iter().map(|b| b.1).collect(),
                lhs_contract: contract.iter().map(|b| b.0).collect(),
                rhs_contract: contract.iter().map(|b| b.1).collect(),
            };
            c.args = vec![x, y];
            let product = linalg::product(c, op)?[0];
            let own = |side: &[char], other: &[char]| -> Vec<char> {
                side.iter().copied().filter(|l| !other.contains(l)).collect()
            };
            let letters = [batch.iter().map(|b| b.2).collect(), own(&lhs, &rhs), own(&rhs, &lhs)].concat();
            (product, letters)
        }
        n => return Err(c.error(format!("takes one or two operands, got {n}"))),
    };
    let perm: Vec<usize> = out.iter().filter_map(|l| letters.iter().position(|m| m == l)).collect();
    Ok(smallvec![c.b().transpose(y, &perm)])
}
