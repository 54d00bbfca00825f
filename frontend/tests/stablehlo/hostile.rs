//! Texts that are wrong in any way give an error: no panic, no overflow of the stack, no memory beyond reason.

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

#[test]
fn changed_at_random() {
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
        "é",
        "-",
        "0x",
        "stablehlo.add",
        "stablehlo.return",
        "^bb0",
        "#stablehlo.gather<",
    ];
    let mut seeded = Seeded(7);
    for text in programs() {
        let whole = pieces(&text);
        for _ in 0..300 {
            let mut changed = whole.clone();
            for _ in 0..=seeded.below(3) {
                let at = seeded.below(changed.len());
                match seeded.below(4) {
                    0 => changed[at] = STRANGE[seeded.below(STRANGE.len())],
                    1 => {
                        changed.remove(at);
                    }
                    2 => changed[at] = whole[seeded.below(whole.len())],
                    _ => changed.insert(at, STRANGE[seeded.below(STRANGE.len())]),
                }
            }
            // whatever comes out, it comes out
            let _ = import_test(&changed.concat(), "changed");
        }
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
    refused("func.func @main() { %0:99999999999 = stablehlo.add : tensor<f32>\nreturn }", "number of results");
    refused("func.func @main() { %0:1000 = stablehlo.add : tensor<f32>\nreturn }", "takes 2 operands");
}
