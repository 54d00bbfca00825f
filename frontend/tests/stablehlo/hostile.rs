//! Texts that are wrong in any way give an error: no panic, no overflow of the stack, no memory beyond reason.

use gradloom_frontend::ErrorKind;
use gradloom_frontend::stablehlo::{import, import_test};
use std::path::Path;

fn programs() -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stablehlo/programs");
    let mut paths: Vec<_> = std::fs::read_dir(dir).expect("the folder is there").flatten().map(|e| e.path()).collect();
    paths.sort();
    paths.iter().map(|p| std::fs::read_to_string(p).expect("programs are text")).collect()
}

/// A small generator of seeded numbers (splitmix64).
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

#[test]
fn cut_off_anywhere() {
    for text in programs() {
        // a cut within the last brackets may leave a whole program
        let body = text.trim_end().trim_end_matches('}').trim_end().len() - 1;
        for end in (0..body).step_by(11).filter(|&i| text.is_char_boundary(i)) {
            assert!(import_test(&text[..end], "cut").is_err(), "accepted up to byte {end}");
        }
    }
}

/// Pieces of the text, so that changes are likelier to get past the lexer.
fn pieces(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut start = 0;
    let kind = |c: char| {
        if c.is_alphanumeric() {
            0
        } else if c.is_whitespace() {
            1
        } else {
            2
        }
    };
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    for w in chars.windows(2) {
        if kind(w[0].1) != kind(w[1].1) || kind(w[0].1) == 2 {
            out.push(&text[start..w[1].0]);
            start = w[1].0;
        }
    }
    out.push(&text[start..]);
    out
}

/// What is put into a text in place of something else.
const STRANGE: &[&str] = &[
    "0",
    "-1",
    "1",
    "64",
    "9223372036854775807",
    "-9223372036854775808",
    "99999999999999999999999",
    "1e400",
    "i1",
    "f32",
    "xf32",
    "tensor<f32>",
    "tensor<0xf32>",
    "%0",
    "%0#9",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "<",
    ">",
    "dense<>",
    "\"",
    "\"0x\"",
    "->",
    ":",
    ",",
    "\u{e9}",
    "-",
    "0x",
    "stablehlo.add",
    "stablehlo.return",
    "^bb0",
    "#stablehlo.gather<",
    "\0",
    "\u{1f600}",
    "1000000",
    "1099511627776",
    "tensor<1000000000xf32>",
    "tensor<1048576x1048576xi8>",
    "tensor<?xf32>",
    "complex<f64>",
    "dense<1> : tensor<1000000000000xi8>",
    "dense<\"0x00\"> : tensor<999999999999xi8>",
    "applies",
    "init:",
    "x",
    "loc(",
    "\n",
    "[[[[[[[[",
    "{a = {a = {a = ",
    "tensor<1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1xf32>",
    "bf16",
    "ui64",
    "f8E4M3FN",
    "@main",
    "dense<0> : tensor<1xi64>",
    "array<i64: 0>",
    "array<i64>",
    "-2",
    "2147483647",
    "%arg0",
    "index",
    "true",
    "#",
    "!",
    "%",
];

/// One change somewhere: to pieces of the text, or to its bytes, by itself and with what others have.
fn change(seeded: &mut Seeded, text: &mut String, corpus: &[String]) {
    let bytes_at = |seeded: &mut Seeded, text: &str| {
        let at = seeded.below(text.len() + 1);
        (0..=at).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
    };
    let start = bytes_at(seeded, text);
    let length = [1, 4, 30, 200][seeded.below(4)];
    let end = (start + seeded.below(length + 1)).min(text.len());
    let end = (end..=text.len()).find(|&i| text.is_char_boundary(i)).unwrap_or(text.len());
    let other = &corpus[seeded.below(corpus.len())];
    match seeded.below(9) {
        0 => text.replace_range(start..end, ""),
        1 => text.insert_str(start, STRANGE[seeded.below(STRANGE.len())]),
        2 => {
            let part = text[start..end].to_string();
            text.insert_str(start, &part);
        }
        3 => text.truncate(start),
        4 => {
            // as far as here, then how another goes on
            let from = bytes_at(seeded, other);
            *text = format!("{}{}", &text[..start], &other[from..]);
        }
        5 => {
            let lines: Vec<&str> = other.lines().collect();
            let line = lines[seeded.below(lines.len())].to_string();
            text.insert_str(text[..start].rfind('\n').map_or(0, |i| i + 1), &(line + "\n"));
        }
        kind => {
            let mut parts: Vec<String> = pieces(text).into_iter().map(String::from).collect();
            let at = seeded.below(parts.len());
            parts[at] = match kind {
                6 => STRANGE[seeded.below(STRANGE.len())].to_string(),
                7 => parts[seeded.below(parts.len())].clone(),
                _ => {
                    let pieces = pieces(other);
                    pieces[seeded.below(pieces.len())].to_string()
                }
            };
            *text = parts.concat();
        }
    }
}

/// How many changed texts are read: `GRADLOOM_FUZZ` says, `GRADLOOM_FUZZ_SEED` which, and `GRADLOOM_FUZZ_SECONDS` how long
/// one may take.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// The text is a program, or the error is one line that says where.
fn comes_out(text: &str) {
    let begun = std::time::Instant::now();
    let e = match std::panic::catch_unwind(|| import_test(text, "fuzz").err().or_else(|| import(text).err())) {
        Ok(e) => e,
        Err(_) => panic!("panicked on:\n{text}"),
    };
    assert!(begun.elapsed().as_secs() < number("GRADLOOM_FUZZ_SECONDS", 20), "slow on:\n{text}");
    let Some(e) = e else { return };
    let said = e.message();
    let place = ["fuzz:", "text:"].iter().find_map(|name| said.strip_prefix(name));
    let mut place = place.unwrap_or("").splitn(3, ':');
    let numbers = [place.next(), place.next()].map(|n| n.is_some_and(|n| n.parse::<usize>().is_ok_and(|n| n > 0)));
    assert!(numbers == [true, true], "an error without a place: {e}\n{text}");
    assert!(!said.contains('\n'), "an error of several lines: {e}\n{text}");
    assert!(e.kind() != ErrorKind::Internal, "a bug of ours: {e}\n{text}");
}

#[test]
fn changed_at_random() {
    let corpus: Vec<String> =
        include_str!("corpus.txt").split("// ----\n").map(String::from).chain(programs()).collect();
    let short = corpus.len() - programs().len();
    for text in &corpus[..short] {
        import(text).unwrap_or_else(|e| panic!("the corpus has only programs: {e}\n{text}"));
    }
    let mut seeded = Seeded(number("GRADLOOM_FUZZ_SEED", 7));
    for _ in 0..number("GRADLOOM_FUZZ", 6000) {
        // mostly the short ones
        let whole = if seeded.below(8) == 0 { corpus.len() } else { short };
        let mut text = corpus[seeded.below(whole)].clone();
        for _ in 0..=seeded.below(4) {
            change(&mut seeded, &mut text, &corpus);
        }
        comes_out(&text);
    }
}

#[track_caller]
fn refused(text: &str, why: &str) {
    let e = import(text).expect_err("it is refused").to_string();
    assert!(e.contains(why), "{e}");
}

#[test]
fn nested_without_end() {
    let deep = |open: &str, n: usize| open.repeat(n);
    refused(&deep("module {", 100_000), "nest more than");
    refused(&format!("func.func @main() -> {}", deep("(", 100_000)), "nest more than");
    refused(&format!("\"func.func\"() <{{function_type = {}", deep("() -> (", 100_000)), "nest more than");
    refused(&format!("func.func @main() {{ %0 = stablehlo.constant dense<{}", deep("[", 100_000)), "not closed");
    let constant = |n: usize| format!("dense<{}1{}>", deep("[", n), deep("]", n));
    refused(
        &format!("func.func @main() {{ %0 = stablehlo.constant {} : tensor<1xf32>\nreturn }}", constant(100_000)),
        "too many axes",
    );
    refused(&format!("func.func @main() {{ %0 = \"a.b\"() {{x = {}", deep("[", 100_000)), "nest more than");
    refused(&format!("func.func @main() {{ {}", deep("\"a.b\"() ({ ", 100_000)), "nest more than");
    refused(
        "func.func @main() { %0 = stablehlo.dynamic_update_slice : tensor<f32>\nreturn }",
        "takes 2 operands, got 0",
    );
    refused("func.func @main() { \"a.b\"() {x = #stablehlo.a<loc", "expected an attribute, found the end");
    refused(&format!("func.func @main() {{ \"a.b\"() {{x = #stablehlo.a<{}", deep("[", 100_000)), "nest more than");
    refused(&format!("func.func @main() {{ \"a.b\"() {{x = {}", deep("tensor<", 100_000)), "not closed");
}

/// Branches within branches, as deep as allowed, still compile.
#[test]
fn nested_deeply() {
    let n = 60;
    let open = "%y = \"stablehlo.if\"(%p) ({\n";
    let close = "stablehlo.return %y : tensor<f32>\n}, {\nstablehlo.return %x : tensor<f32>\n}) : (tensor<i1>) -> tensor<f32>\n";
    let text = format!(
        "func.func @main(%p: tensor<i1>, %x: tensor<f32>) -> tensor<f32> {{\n{}%y = stablehlo.sine %x : tensor<f32>\n{}return %y : tensor<f32>\n}}",
        open.repeat(n),
        close.repeat(n)
    );
    let g = import(&text).expect("it is read");
    let f = gradloom_frontend::stablehlo::Function::from_graph(g);
    let y = f.call(&[gradloom_frontend::Tensor::from(true), gradloom_frontend::Tensor::from(0.5f32)]);
    assert_eq!(y[0].item::<f32>().expect("it runs"), 0.5f32.sin());
}

#[test]
fn calls_without_end() {
    // 2^60 calls
    let mut text = String::from(
        "func.func @main(%x: tensor<f32>) -> tensor<f32> { %0 = call @f0(%x) : (tensor<f32>) -> tensor<f32>\nreturn %0 : tensor<f32> }\n",
    );
    for i in 0..60 {
        text += &format!(
            "func.func @f{i}(%x: tensor<f32>) -> tensor<f32> {{ %0 = call @f{}(%x) : (tensor<f32>) -> tensor<f32>\n%1 = call @f{}(%0) : (tensor<f32>) -> tensor<f32>\nreturn %1 : tensor<f32> }}\n",
            i + 1,
            i + 1
        );
    }
    text += "func.func @f60(%x: tensor<f32>) -> tensor<f32> { return %x : tensor<f32> }";
    refused(&text, "ops");
    let mut text = String::from(
        "func.func @main(%x: tensor<f32>) -> tensor<f32> { %0 = call @f0(%x) : (tensor<f32>) -> tensor<f32>\nreturn %0 : tensor<f32> }\n",
    );
    for i in 0..100_000 {
        text += &format!(
            "func.func @f{i}(%x: tensor<f32>) -> tensor<f32> {{ %0 = call @f{}(%x) : (tensor<f32>) -> tensor<f32>\nreturn %0 : tensor<f32> }}\n",
            i + 1
        );
    }
    refused(&text, "nest more than");
}

/// Regions that are looked into are no deeper for it, nor do shared values count twice over.
#[test]
fn long_chains_inside_regions() {
    let chain = |op: &str, first: &str, ty: &str, n: usize| -> String {
        let step = |i: usize| {
            let x = if i == 0 { first.to_string() } else { format!("%v{}", i - 1) };
            format!("%v{i} = stablehlo.{op} {x}, {x} : {ty}\n")
        };
        (0..n).map(step).collect()
    };
    let n = 20_000;
    let comparator = |left: &str, right: &str, p: &str| {
        format!(
            "func.func @main(%x: tensor<3xi32>) -> tensor<3xi32> {{ %0 = \"stablehlo.sort\"(%x) <{{dimension = 0 : i64}}> ({{
             ^bb0(%a: tensor<i32>, %b: tensor<i32>):
             {left}{right}
             %p = stablehlo.compare LT, %v{last}, %w{last}, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
             {p}
             }}) : (tensor<3xi32>) -> tensor<3xi32>
             return %0 : tensor<3xi32> }}",
            last = n - 1
        )
    };
    let left = chain("add", "%a", "tensor<i32>", n);
    let right = chain("add", "%b", "tensor<i32>", n).replace("%v", "%w");
    refused(&comparator(&left, &right, "stablehlo.return %p : tensor<i1>"), "unsupported comparator");
    let row = format!(
        "func.func @main(%x: tensor<9xf32>) -> tensor<1xf32> {{
         %c = stablehlo.constant dense<0> : tensor<i32>
         %s = stablehlo.constant dense<0.0> : tensor<1xf32>
         %0:2 = stablehlo.while(%i = %c, %y = %s) : tensor<i32>, tensor<1xf32>
         cond {{
           %n = stablehlo.constant dense<9> : tensor<i32>
           %p = stablehlo.compare LT, %i, %n, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
           stablehlo.return %p : tensor<i1>
         }} do {{
           %one = stablehlo.constant dense<1> : tensor<i32>
           %j = stablehlo.add %i, %one : tensor<i32>
           {}
           %r = stablehlo.dynamic_slice %x, %v{}, sizes = [1] : (tensor<9xf32>, tensor<i32>) -> tensor<1xf32>
           stablehlo.return %j, %r : tensor<i32>, tensor<1xf32>
         }}
         return %0#1 : tensor<1xf32> }}",
        chain("add", "%i", "tensor<i32>", n),
        n - 1
    );
    import(&row).expect("it is long and right");
}

#[test]
fn sizes_beyond_reason() {
    let unary = |t: &str| format!("func.func @main(%x: {t}) -> {t} {{ return %x : {t} }}");
    refused(&unary("tensor<99999999x99999999x99999999xf32>"), "too large");
    refused(&unary("tensor<99999999999999999999999xf32>"), "no axis length");
    refused(&unary("tensor<4294967296x4294967296x0x4294967296x4294967296xf32>"), "too large");
    let blob = "func.func @main() -> tensor<1000000000xf32> { %0 = stablehlo.constant dense<\"0x00000000\"> : tensor<1000000000xf32>\nreturn %0 : tensor<1000000000xf32> }";
    refused(blob, "too large");
    let inputs = "func.func @main() { %0 = call @inputs() : () -> tensor<1000000000000xi8>\nreturn }
      func.func @inputs() -> tensor<1000000000000xi8> { %0 = stablehlo.constant dense<1> : tensor<1000000000000xi8>\nreturn %0 : tensor<1000000000000xi8> }";
    let e = import_test(inputs, "text").expect_err("it is refused").to_string();
    assert!(e.contains("text:3:7: @inputs computes more than"), "{e}");
    refused("func.func @main() { %0:99999999999 = stablehlo.add : tensor<f32>\nreturn }", "number of results");
    refused("func.func @main() { %0:1000 = stablehlo.add : tensor<f32>\nreturn }", "takes 2 operands");
}
