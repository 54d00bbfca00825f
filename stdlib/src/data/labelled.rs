//! Examples with an integer label each, in host memory.

use super::permutation;
use gradloom_frontend::{Error, Result, Tensor};

/// Examples of one shape, each with a label.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    shape: Vec<usize>,
    features: Vec<f32>,
    labels: Vec<i32>,
}

impl Labelled {
    /// `labels.len()` examples of `shape`, their elements one example after the other.
    ///
    /// # Errors
    /// If the number of elements is not that of the labels times that of the shape.
    pub fn new(shape: &[usize], features: Vec<f32>, labels: Vec<i32>) -> Result<Labelled> {
        let count = shape.iter().try_fold(labels.len(), |n, &d| n.checked_mul(d));
        if count != Some(features.len()) {
            let what = format!("{} labels of shape {shape:?} do not match {} elements", labels.len(), features.len());
            return Err(Error::user("data", what));
        }
        Ok(Labelled { shape: shape.to_vec(), features, labels })
    }

    /// The number of examples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The labels.
    pub fn labels(&self) -> &[i32] {
        &self.labels
    }

    /// The elements of one example, row-major.
    ///
    /// # Errors
    /// If there is no such example.
    pub fn example(&self, row: usize) -> Result<&[f32]> {
        let size = self.shape.iter().product::<usize>();
        if row >= self.len() {
            return Err(Error::user("data", format!("there is no example {row} among {}", self.len())));
        }
        Ok(&self.features[row * size..(row + 1) * size])
    }

    /// The examples at `rows`, in that order; a row may come more than once.
    ///
    /// # Errors
    /// If there is no such example.
    pub fn take(&self, rows: &[usize]) -> Result<Labelled> {
        let mut features = Vec::with_capacity(rows.len() * self.shape.iter().product::<usize>());
        let mut labels = Vec::with_capacity(rows.len());
        for &row in rows {
            features.extend_from_slice(self.example(row)?);
            labels.push(self.labels[row]);
        }
        Ok(Labelled { shape: self.shape.clone(), features, labels })
    }

    /// Two parts without common examples, the first with `fraction` of them, chosen by `seed`.
    ///
    /// # Errors
    /// If `fraction` is not between 0 and 1.
    pub fn split(&self, fraction: f64, seed: u64) -> Result<(Labelled, Labelled)> {
        if !(0.0..=1.0).contains(&fraction) {
            return Err(Error::user("split", format!("the fraction {fraction} is not between 0 and 1")));
        }
        let order = permutation(self.len(), seed);
        let (first, second) = order.split_at((fraction * self.len() as f64).round() as usize);
        Ok((self.take(first)?, self.take(second)?))
    }

    /// All examples as one array `[n, shape..]` and their labels `[n]` (i32).
    pub fn tensors(&self) -> (Tensor, Tensor) {
        let shape: Vec<usize> = [self.len()].into_iter().chain(self.shape.iter().copied()).collect();
        (Tensor::from_slice(shape, &self.features), Tensor::from_slice([self.len()], &self.labels))
    }

    /// Batches of `size` examples in an order that `seed` decides; a last batch that would be smaller is left out, so
    /// that one compiled step serves all.
    ///
    /// # Errors
    /// If `size` is 0.
    pub fn batches(&self, size: usize, seed: u64) -> Result<impl Iterator<Item = (Tensor, Tensor)>> {
        if size == 0 {
            return Err(Error::user("batches", "a batch needs at least one example"));
        }
        let order = permutation(self.len(), seed);
        let count = self.len() / size;
        // rows of a permutation exist
        Ok((0..count).filter_map(move |i| Some(self.take(&order[i * size..(i + 1) * size]).ok()?.tensors())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Example `i` is `[i, -i]` with label `10 i`.
    fn numbers(n: usize) -> Labelled {
        let features = (0..n).flat_map(|i| [i as f32, -(i as f32)]).collect();
        Labelled::new(&[2], features, (0..n).map(|i| 10 * i as i32).collect()).unwrap()
    }

    #[track_caller]
    fn belong_together(x: &Tensor, y: &Tensor) {
        let (x, y) = (x.to_vec::<f32>().unwrap(), y.to_vec::<i32>().unwrap());
        assert_eq!(x.len(), 2 * y.len());
        for (pair, label) in x.chunks(2).zip(y) {
            assert_eq!((pair[0], pair[1]), (label as f32 / 10.0, -label as f32 / 10.0));
        }
    }

    #[test]
    fn split_covers_everything_once() {
        let (a, b) = numbers(10).split(0.8, 3).unwrap();
        assert_eq!((a.len(), b.len()), (8, 2));
        let mut all = [a.labels(), b.labels()].concat();
        all.sort_unstable();
        assert_eq!(all, numbers(10).labels());
        let (x, y) = a.tensors();
        assert_eq!((x.shape(), y.shape()), (&[8, 2][..], &[8][..]));
        belong_together(&x, &y);
        assert_eq!(numbers(10).split(0.8, 3).unwrap(), (a, b));
    }

    #[test]
    fn batches_are_whole_and_disjoint() {
        let data = numbers(10);
        let mut seen = Vec::new();
        for (x, y) in data.batches(3, 5).unwrap() {
            assert_eq!(x.shape(), [3, 2]);
            belong_together(&x, &y);
            seen.extend(y.to_vec::<i32>().unwrap());
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 9);
        assert_eq!(data.batches(11, 5).unwrap().count(), 0);
    }

    #[test]
    fn wrong_arguments_are_errors() {
        assert!(Labelled::new(&[2], vec![0.0; 3], vec![0]).is_err());
        assert!(Labelled::new(&[usize::MAX, 3], vec![], vec![0, 1]).is_err());
        assert!(numbers(2).take(&[2]).is_err());
        assert!(numbers(2).split(1.5, 0).is_err());
        assert!(numbers(2).split(f64::NAN, 0).is_err());
        assert!(numbers(2).batches(0, 0).is_err());
    }
}
