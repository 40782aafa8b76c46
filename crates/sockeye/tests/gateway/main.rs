//! The gateway between a program's host and the machine's loopback. The "program" is a second host joined to it by memory; what it talks to
//! are kernel sockets in threads of the test.

mod hostile;
mod names;
mod publish;
mod services;
mod tcp;
mod udp;
mod world;
