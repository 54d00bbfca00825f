//! Curves as SVG files.

use gradloom_frontend::{Error, Result, io};
use plotters::prelude::*;
use std::path::Path;

/// Width and height of the picture in pixels.
const SIZE: (u32, u32) = (800, 480);
/// The type of labels.
const FONT: (&str, u32) = ("sans-serif", 14);

/// Curves over one x axis, such as a loss and an accuracy over training steps.
///
/// ```
/// use gradloom_stdlib::train::plot::Plot;
/// let svg = Plot::new("training").x_label("step").series("loss", &[(0.0, 2.3), (1.0, 0.4), (2.0, 0.1)]).svg()?;
/// assert!(svg.starts_with("<svg"));
/// # Ok::<(), gradloom_frontend::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Plot {
    title: String,
    x_label: String,
    y_label: String,
    series: Vec<(String, Vec<(f64, f64)>)>,
}

impl Plot {
    /// A plot without curves.
    pub fn new(title: &str) -> Plot {
        Plot { title: title.into(), ..Plot::default() }
    }

    /// The name of the x axis.
    pub fn x_label(mut self, label: &str) -> Plot {
        self.x_label = label.into();
        self
    }

    /// The name of the y axis.
    pub fn y_label(mut self, label: &str) -> Plot {
        self.y_label = label.into();
        self
    }

    /// Adds a curve through `points`; points that are not finite are left out.
    pub fn series(mut self, name: &str, points: &[(f64, f64)]) -> Plot {
        let finite = points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
        self.series.push((name.into(), finite));
        self
    }

    /// The picture as SVG text.
    ///
    /// # Errors
    /// If it cannot be drawn.
    pub fn svg(&self) -> Result<String> {
        let mut text = String::new();
        self.draw(&mut text).map_err(|e| Error::internal("plot", e.to_string()))?;
        Ok(text)
    }

    /// Writes the picture as an SVG file, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be drawn or the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        io::write_atomically(path.as_ref(), self.svg()?.as_bytes())
    }

    fn draw(&self, text: &mut String) -> Result<(), Box<dyn std::error::Error + '_>> {
        let points = || self.series.iter().flat_map(|(_, p)| p);
        let (xs, ys) = (range(points().map(|p| p.0)), range(points().map(|p| p.1)));
        let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(&self.title, ("sans-serif", 20))
            .margin(16)
            .x_label_area_size(40)
            .y_label_area_size(56)
            .build_cartesian_2d(xs, ys)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(RGBColor(225, 225, 225))
            .x_desc(&self.x_label)
            .y_desc(&self.y_label)
            .label_style(FONT)
            .draw()?;
        for (i, (name, points)) in self.series.iter().enumerate() {
            let color = Palette99::pick(i).to_rgba();
            chart
                .draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color.stroke_width(2)));
        }
        if !self.series.is_empty() {
            chart.configure_series_labels().label_font(FONT).background_style(WHITE).border_style(BLACK).draw()?;
        }
        root.present()?;
        Ok(())
    }
}

/// From least to greatest with some room at the top; never empty, which the axes could not show.
fn range(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
    if low > high {
        return 0.0..1.0;
    }
    let room = if high > low { (high - low) * 0.02 } else { low.abs().max(1.0) * 0.1 };
    // only the top, so that a curve that starts at 0 starts on the axis
    low..high + room
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Plot {
        let loss: Vec<(f64, f64)> = (0..50).map(|i| (f64::from(i), 1.0 / f64::from(i + 1))).collect();
        let accuracy: Vec<(f64, f64)> = (0..50).map(|i| (f64::from(i), f64::from(i) / 50.0)).collect();
        Plot::new("digits <1>").x_label("step").series("loss", &loss).series("accuracy", &accuracy)
    }

    #[test]
    fn draws_every_curve_and_name() {
        let svg = two().svg().unwrap();
        let curve = |line: &&str| line.starts_with("<polyline") && line.matches(',').count() == 50;
        assert_eq!(svg.lines().filter(curve).count(), 2, "{svg}");
        for name in ["loss", "accuracy", "step", "digits &lt;1&gt;"] {
            assert!(svg.contains(name), "{name}");
        }
    }

    #[test]
    fn odd_data_still_draws() {
        for points in [&[][..], &[(1.0, 5.0)], &[(0.0, f64::NAN), (f64::INFINITY, 1.0)], &[(0.0, 0.0), (0.0, 0.0)]] {
            assert!(Plot::new("").series("a", points).svg().unwrap().ends_with("</svg>\n"));
        }
        assert!(Plot::new("").svg().is_ok());
    }

    #[test]
    fn saves_whole_files() {
        let dir = std::env::temp_dir().join(format!("gradloom-plot-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("a.svg");
        two().save(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), two().svg().unwrap());
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
        assert!(two().save(dir.join("missing").join("a.svg")).is_err());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
