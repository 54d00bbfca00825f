//! The code of a kernel as assembly, for people.

use iced_x86::{Code, Decoder, DecoderOptions, Formatter, Instruction, IntelFormatter, SymbolResolver, SymbolResult};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Names of the positions that are jumped to.
struct Labels(BTreeMap<u64, usize>);

impl SymbolResolver for Labels {
    fn symbol(&mut self, _: &Instruction, _: u32, _: Option<u32>, address: u64, _: u32) -> Option<SymbolResult<'_>> {
        self.0.get(&address).map(|n| SymbolResult::with_string(address, format!("L{n}")))
    }
}

/// The assembly of a function up to its return, with labels where it is jumped to; what follows are its constants.
pub fn listing(code: &[u8]) -> String {
    let mut instructions = Vec::new();
    for i in Decoder::new(64, code, DecoderOptions::NONE) {
        instructions.push(i);
        if i.code() == Code::Retnq {
            break;
        }
    }
    // 0, the entry, is no target of a jump
    let jumps = instructions.iter().map(Instruction::near_branch_target).filter(|&to| to != 0);
    let mut targets: BTreeMap<u64, usize> = jumps.map(|to| (to, 0)).collect();
    targets.values_mut().enumerate().for_each(|(n, label)| *label = n + 1);
    let mut formatter = IntelFormatter::with_options(Some(Box::new(Labels(targets.clone()))), None);
    formatter.options_mut().set_first_operand_char_index(12);
    let mut text = String::new();
    for i in &instructions {
        if let Some(n) = targets.get(&i.ip()) {
            let _ = writeln!(text, "L{n}:");
        }
        text += "    ";
        formatter.format(i, &mut text);
        text.push('\n');
    }
    let end = instructions.last().map_or(0, |i| i.next_ip() as usize);
    let _ = writeln!(text, "; {end} bytes, {} with constants", code.len());
    text
}

#[cfg(test)]
mod tests {
    use super::super::asm::{Asm, POOL, broadcast};
    use super::*;
    use iced_x86::Register;

    #[test]
    fn jumps_have_labels_and_constants_are_no_code() {
        let mut asm = Asm::new();
        let one = asm.constant(&1f32.to_le_bytes());
        let top = asm.label();
        asm.place(top);
        asm.put(Instruction::with3(
            Code::EVEX_Vaddps_zmm_k1z_zmm_zmmm512b32_er,
            Register::ZMM17,
            Register::ZMM3,
            broadcast(POOL, one),
        ));
        asm.jump(Code::Jne_rel32_64, top);
        let text = listing(&asm.finish().expect("all of it can be encoded"));
        let loop_text = "L1:\n    vaddps      zmm17,zmm3,[r15]{1to16}\n    jne         L1\n";
        assert!(text.contains(loop_text), "{text}");
        assert!(text.ends_with("    ret\n; 62 bytes, 68 with constants\n"), "{text}");
    }
}
