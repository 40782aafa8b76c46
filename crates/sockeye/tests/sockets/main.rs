//! One body of tests on the kernel's sockets by tokio (over loopback) and on ours (two hosts and a link in memory): what passes on both means
//! the same on both. It is written once, in `body`, against `net` and `world`.
//!
//! Known differences, which the body leaves out:
//!
//! | what | kernel by tokio | here | why |
//! |---|---|---|---|
//! | buffer sizes | twice what was set | what was set | the double is room for the kernel's bookkeeping, which we do not charge |
//! | `quickack` | on for the first segments, and told so | as it was set | ours has no such mode to tell of |
//! | a name that is not known | an uncategorized error | `NotFound` | there is no kind for it to agree on |
//! | lingering for a time | a drop blocks the thread | a drop never waits | tokio deprecates it for that |
//! | reading into an empty buffer | waits for a byte | gives 0 at once | it asks for nothing |
//! | a new stream's readiness | may be told before it is so | is as it is | tokio keeps it in a cache |
//! | an error alone, on a UDP socket | wakes `Interest::ERROR`, not `recv` | wakes both | `recv` would hear of it only with the next datagram |
//! | multicast interfaces, loop and hop limit | settable | all links, looped, 1 | not offered yet |

mod kernel;
mod ours;
