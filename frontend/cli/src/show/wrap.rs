//! Long lines broken, so that they read in a terminal.

/// Columns of a line.
pub const WIDTH: usize = 200;

/// Breaks lines of more than `width` columns after commas and before braces and attributes, never inside strings. The
/// rest of a line is indented by six more columns. White space is free in programs, so the text reads back the same.
pub fn wrap(text: &str, width: usize) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len() + 6;
        let mut rest = line;
        let mut room = width;
        while let Some(at) = break_at(rest, room) {
            let (head, tail) = rest.split_at(at);
            out.push_str(head.trim_end());
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            rest = tail.trim_start();
            room = width.saturating_sub(indent).max(20);
        }
        out.push_str(rest);
        out.push('\n');
    }
    out
}

/// The last place within `room` columns at which the line may be broken, or the first after them; none if all of it fits.
fn break_at(line: &str, room: usize) -> Option<usize> {
    if line.len() <= room || line.chars().count() <= room {
        return None;
    }
    let (mut quoted, mut escaped, mut started) = (false, false, false);
    let mut best = None;
    for (column, (at, c)) in line.char_indices().enumerate() {
        if column >= room && best.is_some() {
            break;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            // the space stays with the line before
            ' ' if !quoted && started => best = Some(at + 1),
            ' ' => {}
            _ => started = true,
        }
    }
    best.filter(|&at| !line[at..].trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradloom_ir::parse;

    #[test]
    fn lines_fit_and_strings_stay_whole() {
        let text = "  %1 = f(%0) {a = [1, 2, 3], b = \"one, two \\\" three, four\"} : f32[2]\nshort";
        let got = wrap(text, 24);
        assert_eq!(
            got,
            "  %1 = f(%0) {a = [1,\n        2, 3], b =\n        \"one, two \\\" three, four\"}\n        : f32[2]\nshort\n"
        );
        assert_eq!(wrap(text, 200), format!("{text}\n"));
        assert_eq!(wrap(&"x".repeat(50), 10), format!("{}\n", "x".repeat(50)));
        assert_eq!(wrap("", 10), "");
    }

    #[test]
    fn programs_read_back() {
        let text = "graph(%0: f32[2] \"a name, (with) \\\"everything\\\" {in} it\") {
          %1 = pad(%0, %2) {low = [-1], high = [2], interior = [1]} : f32[4] return %1 }";
        let text = text
            .replace("pad(%0, %2)", "add(%0, %0)")
            .replace(" {low = [-1], high = [2], interior = [1]} : f32[4]", " : f32[2]");
        let g = parse(&text).expect("a program");
        for width in [20, 30, 60, 200] {
            assert_eq!(parse(&wrap(&g.to_string(), width)).expect("the same program"), g);
        }
    }
}
