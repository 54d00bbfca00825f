//! The handwritten digits shipped with the crate.

use super::Labelled;
use gradloom_frontend::{Error, Result};
use std::io::Read;

static FILE: &[u8] = include_bytes!("../../data/digits.csv.gz");

/// Side length of an image.
const SIDE: usize = 8;
/// The greatest intensity.
const WHITE: f32 = 16.0;

/// 1,797 handwritten digits: images `[8, 8, 1]` with intensities from 0 to 1, labels 0 to 9.
///
/// Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
/// <https://doi.org/10.24432/C50P49>, licence CC BY 4.0.
///
/// # Errors
/// If the file inside the crate is damaged.
pub fn digits() -> Result<Labelled> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(FILE).read_to_string(&mut text).map_err(|e| Error::io("read digits.csv.gz", &e))?;
    parse(&text)
}

fn parse(text: &str) -> Result<Labelled> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for (i, line) in text.lines().enumerate() {
        let bad = || Error::io("read digits.csv.gz", &format!("line {} is not 64 intensities and a digit", i + 1));
        let row: Vec<f32> = line.split(',').map(|x| x.parse().map_err(|_| bad())).collect::<Result<_>>()?;
        let (&label, image) = row.split_last().ok_or_else(bad)?;
        let intensities = image.iter().all(|p| (0.0..=WHITE).contains(p));
        if image.len() != SIDE * SIDE || !intensities || !(0.0..10.0).contains(&label) || label.fract() != 0.0 {
            return Err(bad());
        }
        pixels.extend(image.iter().map(|p| p / WHITE));
        labels.push(label as i32);
    }
    Labelled::new(&[SIDE, SIDE, 1], pixels, labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The counts of the ten digits are published with the data set.
    #[test]
    fn what_the_data_set_says() {
        let d = digits().unwrap();
        let mut counts = [0; 10];
        d.labels().iter().for_each(|&l| counts[l as usize] += 1);
        assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
        // the first image is a zero: dark in the middle, and its first row is 0 0 5 13 9 1 0 0
        assert_eq!(d.example(0).unwrap()[..8], [0.0, 0.0, 5.0, 13.0, 9.0, 1.0, 0.0, 0.0].map(|p| p / 16.0));
        let (x, y) = d.tensors();
        assert_eq!((x.shape(), y.shape()), (&[1797, 8, 8, 1][..], &[1797][..]));
    }

    #[test]
    fn damaged_text_is_an_error() {
        let line = [vec!["3"; 64], vec!["7"]].concat().join(",");
        assert_eq!(parse(&line).unwrap().labels(), [7]);
        for bad in ["", "1,2,3", "x", &line.replace('7', "11"), &line.replace('7', "1.5"), &line.replacen('3', "17", 1)]
        {
            let text = format!("{line}\n{bad}\n");
            assert!(parse(&text).unwrap_err().to_string().contains("line 2"), "{bad}");
        }
    }
}
