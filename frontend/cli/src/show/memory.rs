//! The intermediate memory of a compiled program over its steps, as a picture.

use super::kernels::short;
use gradloom_backends::cpu::Explained;
use gradloom_ir::{Error, Result};
use plotters::prelude::*;

/// Width and height of the picture in pixels.
const SIZE: (u32, u32) = (1000, 420);

/// The bytes in use while each step runs, as SVG text.
///
/// # Errors
/// If it cannot be drawn.
pub fn plot(explained: &Explained) -> Result<String> {
    let mut svg = String::new();
    draw(&mut svg, explained).map_err(|e| Error::internal("plot", e.to_string()))?;
    Ok(svg)
}

fn draw<'a>(svg: &'a mut String, explained: &Explained) -> std::result::Result<(), Box<dyn std::error::Error + 'a>> {
    let live: Vec<u64> = explained.steps.iter().map(|s| s.live_bytes as u64).collect();
    // the first step of the highest
    let peak = (0..live.len()).rev().max_by_key(|&i| live[i]);
    let top = peak.map_or(0, |i| live[i]);
    let title = match peak {
        Some(i) => {
            format!("{}B of intermediates, most at step {i}: {}", short(top), shortened(&explained.steps[i].name))
        }
        None => "no steps".to_string(),
    };
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 18))
        .margin(16)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..live.len().max(1) as f64, 0.0..top.max(1) as f64 * 1.05)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(225, 225, 225))
        .x_desc("step")
        .y_label_formatter(&|y: &f64| format!("{}B", short(*y as u64)))
        .x_label_formatter(&|x: &f64| format!("{x:.0}"))
        .label_style(("sans-serif", 13))
        .draw()?;
    // a step holds its memory from its start to the next one's
    let corners = live.iter().enumerate().flat_map(|(i, &y)| [(i as f64, y as f64), (i as f64 + 1.0, y as f64)]);
    chart.draw_series(LineSeries::new(corners, BLUE.stroke_width(2)))?;
    root.present()?;
    Ok(())
}

fn shortened(name: &str) -> String {
    let mut short: String = name.chars().take(60).collect();
    if short.len() < name.len() {
        short += "..";
    }
    short
}
