//! A whole host under attack, with the fuzzer's bytes as the dice: which packets, what the applications do, how time passes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

#[path = "../../crates/sockeye-core/tests/it/fuzz/forge.rs"]
mod forge;
#[path = "../../crates/sockeye-core/tests/it/fuzz/world.rs"]
mod world;

/// The fuzzer's bytes, two for each throw; the first decides most, so that a changed bit changes little else.
#[derive(Clone)]
struct Dice(Rc<RefCell<Vec<u8>>>);

impl Dice {
    fn take(&self) -> u64 {
        let mut bytes = self.0.borrow_mut();
        let mut next = || u64::from(bytes.pop().unwrap_or(0));
        let throw = next() << 8 | next();
        throw * 0x0001_0001_0001_0001
    }
}

impl rand::TryRng for Dice {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.take() as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.take())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for byte in bytes {
            *byte = self.0.borrow_mut().pop().unwrap_or(0);
        }
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((shape, rest)) = data.split_first() else {
        return;
    };
    let dice = Dice(Rc::new(RefCell::new(rest.iter().rev().copied().collect())));
    let more = || !dice.0.borrow().is_empty();
    let mut world = world::World::new(u64::from(*shape), dice.clone(), dice.clone());
    world.run(10_000, more);
    assert_eq!(world.victim().check(), Ok(()));
});
