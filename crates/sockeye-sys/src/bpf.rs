//! Classic BPF, as seccomp takes it: a small assembler with labels, and an interpreter for tests.
//!
//! Jumps of classic BPF reach at most 255 instructions and only forwards; a label may be anywhere after its uses within that.

/// One instruction: operation, jump offsets when true and false, operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip when the test is true.
    pub jt: u8,
    /// Instructions to skip when the test is false.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

const LD_W_ABS: u16 = 0x20;
const AND_K: u16 = 0x54;
const JEQ_K: u16 = 0x15;
const JSET_K: u16 = 0x45;
const JGE_K: u16 = 0x35;
const RET_K: u16 = 0x06;

/// A place in a program that is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(usize);

/// Where a test goes on in one of its cases.
#[derive(Clone, Copy, Debug)]
enum Jump {
    Next,
    To(Label),
}

/// Builds a program.
#[derive(Debug, Default)]
pub struct Assembler {
    code: Vec<(u16, u32, Jump, Jump)>,
    /// Where each label stands.
    labels: Vec<Option<usize>>,
}

impl Assembler {
    /// An empty program.
    pub fn new() -> Self {
        Self::default()
    }

    /// A label to be placed later.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Places `label` here.
    pub fn place(&mut self, label: Label) {
        self.labels[label.0] = Some(self.code.len());
    }

    /// Loads the 32-bit word at byte `offset` of the data.
    pub fn load(&mut self, offset: u32) {
        self.push(LD_W_ABS, offset, Jump::Next, Jump::Next);
    }

    /// Keeps only the bits of `mask`.
    pub fn and(&mut self, mask: u32) {
        self.push(AND_K, mask, Jump::Next, Jump::Next);
    }

    /// Goes to `then` when equal to `value`, else on.
    pub fn if_equal(&mut self, value: u32, then: Label) {
        self.push(JEQ_K, value, Jump::To(then), Jump::Next);
    }

    /// Goes to `then` when not equal to `value`, else on.
    pub fn unless_equal(&mut self, value: u32, then: Label) {
        self.push(JEQ_K, value, Jump::Next, Jump::To(then));
    }

    /// Goes to `then` when any bit of `mask` is set, else on.
    pub fn if_any(&mut self, mask: u32, then: Label) {
        self.push(JSET_K, mask, Jump::To(then), Jump::Next);
    }

    /// Goes to `then` when at least `value`, else on.
    pub fn if_at_least(&mut self, value: u32, then: Label) {
        self.push(JGE_K, value, Jump::To(then), Jump::Next);
    }

    /// Ends with `value`.
    pub fn ret(&mut self, value: u32) {
        self.push(RET_K, value, Jump::Next, Jump::Next);
    }

    fn push(&mut self, code: u16, k: u32, jt: Jump, jf: Jump) {
        self.code.push((code, k, jt, jf));
    }

    /// The program.
    ///
    /// # Panics
    /// When a label was not placed, lies behind its use, or is more than 255 instructions away.
    pub fn finish(self) -> Vec<Instruction> {
        let offset = |at: usize, jump: Jump| match jump {
            Jump::Next => 0,
            Jump::To(label) => {
                let target = self.labels[label.0].expect("a label that is used is placed");
                u8::try_from(target - (at + 1)).expect("a label is within reach")
            }
        };
        let code = self.code.iter().enumerate();
        code.map(|(at, &(code, k, jt, jf))| Instruction {
            code,
            jt: offset(at, jt),
            jf: offset(at, jf),
            k,
        })
        .collect()
    }
}

/// Runs `program` over `data` as the kernel does; `None` when it runs off its end, reads beyond `data`, or does what we never assemble.
pub fn run(program: &[Instruction], data: &[u8]) -> Option<u32> {
    let (mut at, mut accumulator) = (0, 0_u32);
    loop {
        let instruction = program.get(at)?;
        at += 1;
        let k = instruction.k;
        let test = match instruction.code {
            LD_W_ABS => {
                let word = data.get(k as usize..k as usize + 4)?;
                accumulator = u32::from_ne_bytes(word.try_into().ok()?);
                continue;
            }
            AND_K => {
                accumulator &= k;
                continue;
            }
            RET_K => return Some(k),
            JEQ_K => accumulator == k,
            JSET_K => accumulator & k != 0,
            JGE_K => accumulator >= k,
            _ => return None,
        };
        at += usize::from(if test { instruction.jt } else { instruction.jf });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_does_what_its_labels_say() {
        let mut asm = Assembler::new();
        let (small, odd) = (asm.label(), asm.label());
        asm.load(4);
        asm.if_equal(7, odd);
        asm.if_any(0x100, odd);
        asm.unless_equal(8, small);
        asm.ret(8);
        asm.place(odd);
        asm.and(0xff);
        asm.if_at_least(8, small);
        asm.ret(7);
        asm.place(small);
        asm.ret(0);
        let program = asm.finish();
        for (value, want) in [(7_u32, 7), (8, 8), (9, 0), (0x105, 7), (0x1ff, 0)] {
            let data = [0_u32.to_ne_bytes(), value.to_ne_bytes()].concat();
            assert_eq!(run(&program, &data), Some(want), "{value}");
        }
        assert_eq!(run(&program, &[0; 6]), None);
    }
}
