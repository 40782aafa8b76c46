//! Settings by name: what there is, what it is set to, and setting it by text.

use super::Settings;
use super::form::Form;
use std::fmt;

/// What a name of Linux's begins with that people leave away.
const PREFIX: &str = "net.ipv4.";

/// A line of the table: what is known of one setting.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Its name, as `sysctl` has it: `net.ipv4.tcp_sack`.
    pub name: &'static str,
    /// What it means, in one sentence.
    pub meaning: &'static str,
    /// Unit and range.
    pub form: Form,
    /// Where meaning or default are from: a section of an RFC, or Linux.
    pub source: &'static str,
    /// How many numbers its value has: 1, but for ranges and buffers.
    pub numbers: usize,
    pub(super) set: fn(&mut Settings, &str, &Form) -> Option<()>,
    pub(super) show: fn(&Settings, &Form) -> String,
}

impl Setting {
    /// Its value, as Linux shows it: numbers stand apart by tabs.
    pub fn show(&self, settings: &Settings) -> String {
        (self.show)(settings, &self.form)
    }

    /// What is accepted: `0 or 1`, `3 numbers, 1 to 65535`.
    pub fn accepted(&self) -> String {
        match self.numbers {
            1 => self.form.to_string(),
            n => format!("{n} rising numbers, {}", self.form),
        }
    }
}

/// Why a setting stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SysctlError {
    /// There is no setting of this name here.
    Unknown {
        /// The name as it was given.
        name: String,
        /// The known name that looks most like it.
        nearest: &'static str,
    },
    /// The setting does not take this value.
    Value {
        /// The setting.
        name: &'static str,
        /// The value as it was given.
        value: String,
        /// What it takes, with its unit.
        accepted: String,
    },
}

impl fmt::Display for SysctlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name, nearest } => write!(f, "`{name}` is no setting here; {nearest} is"),
            Self::Value { name, value, accepted } => write!(f, "{name}: `{value}` is not accepted; {accepted} is"),
        }
    }
}

impl std::error::Error for SysctlError {}

/// The setting called `name`: `net.ipv4.tcp_sack`, `net/ipv4/tcp_sack`, `/proc/sys/net/ipv4/tcp_sack` and `tcp_sack` are the same.
///
/// # Errors
/// [`SysctlError::Unknown`], with the nearest name that is known.
pub fn find(name: &str) -> Result<&'static Setting, SysctlError> {
    let dotted = name.strip_prefix("/proc/sys/").unwrap_or(name).replace('/', ".");
    let known = |setting: &&Setting| setting.name == dotted || setting.name.strip_prefix(PREFIX) == Some(&dotted);
    Settings::TABLE.iter().find(known).ok_or_else(|| SysctlError::Unknown {
        name: name.to_owned(),
        nearest: nearest(&dotted),
    })
}

/// The known name that begins so, or else takes the fewest changes, compared without what all names begin with.
fn nearest(name: &str) -> &'static str {
    fn bare(name: &str) -> &str {
        let core = || name.strip_prefix("net.core.");
        name.strip_prefix(PREFIX).or_else(core).unwrap_or(name)
    }
    // Names are short: a longer text is near to nothing, and does not get to cost more.
    let short: String = bare(name).chars().take(64).collect();
    let cut_off = |known: &str| short.len() > "tcp_".len() && known.starts_with(&short);
    let key = |setting: &&Setting| {
        let known = bare(setting.name);
        (!cut_off(known), distance(&short, known))
    };
    Settings::TABLE
        .iter()
        .min_by_key(key)
        .map_or("", |setting| setting.name)
}

/// Characters to insert, delete or replace to make one text of the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[row.len() - 1]
}

impl Settings {
    /// Sets what is called `name`, in Linux's notation: `settings.set("net.ipv4.tcp_rmem", "4096 131072 6291456")`.
    ///
    /// # Errors
    /// An unknown name, or a value outside what the setting takes; nothing changes then.
    ///
    /// ```
    /// let mut settings = sockeye_core::settings::Settings::default();
    /// settings.set("net.ipv4.tcp_fin_timeout", "30")?;
    /// settings.set("tcp_congestion_control", "reno")?;
    /// assert_eq!(settings.tcp_fin_timeout.as_secs(), 30);
    /// assert!(settings.set("net.ipv4.tcp_sac", "0").unwrap_err().to_string().contains("net.ipv4.tcp_sack"));
    /// # Ok::<(), sockeye_core::settings::SysctlError>(())
    /// ```
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), SysctlError> {
        let setting = find(name)?;
        (setting.set)(self, value.trim(), &setting.form).ok_or_else(|| SysctlError::Value {
            name: setting.name,
            value: value.to_owned(),
            accepted: match setting.form.unit() {
                "" => setting.accepted(),
                unit => format!("{} {unit}", setting.accepted()),
            },
        })
    }

    /// The value of what is called `name`, in Linux's notation.
    ///
    /// # Errors
    /// An unknown name.
    pub fn show(&self, name: &str) -> Result<String, SysctlError> {
        find(name).map(|setting| setting.show(self))
    }
}

/// Makes [`Settings`], its defaults and [`Settings::TABLE`] of the one table.
macro_rules! settings {
    ($( $(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:expr, $name:literal, $form:expr, $source:literal; )+) => {
        /// A host's settings. Durations carry their unit in the type; sizes are bytes unless said otherwise.
        #[derive(Clone, Debug)]
        pub struct Settings {
            $(
                $(#[doc = $doc])+
                #[doc = concat!("\n\nsysctl `", $name, "`; ", $source, ".")]
                pub $field: $type,
            )+
        }

        impl Default for Settings {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl Settings {
            /// All settings, in the order of the table.
            pub const TABLE: &'static [Setting] = &[$(
                Setting {
                    name: $name,
                    meaning: concat!($($doc),+),
                    form: $form,
                    source: $source,
                    numbers: <$type as form::Value>::NUMBERS,
                    set: |settings, text, form| {
                        settings.$field = form::Value::read(text, form)?;
                        Some(())
                    },
                    show: |settings, form| form::Value::show(&settings.$field, form),
                },
            )+];
        }
    };
}

pub(super) use settings;
