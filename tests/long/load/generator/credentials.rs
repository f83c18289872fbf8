//! Who calls: sites whose ids and keys follow from their numbers, or are read
//! from a file.

use std::io::{BufWriter, Write};
use std::path::Path;

use sitewarden::domain::{Actor, ActorKind, KeyHash, NewSite, Operation, SecretKey, SiteId, Timestamp};
use sitewarden::store::{FILE_NAME, Store};

use super::Failure;

/// Sites registered at the same time: so many share a commit.
const TOGETHER: usize = 1000;

/// The sites that call.
pub(crate) enum Sites {
    /// Those that [`seed`] registered: numbers from 1 to this.
    Numbered(u64),
    /// Ids and keys.
    Listed(Vec<(String, String)>),
}

impl Sites {
    /// A number of sites, or a file of `id,key` lines.
    pub(crate) fn read(given: &str) -> Result<Self, Failure> {
        if let Ok(count) = given.parse() {
            return if count > 0 { Ok(Self::Numbered(count)) } else { Err("no sites".into()) };
        }
        let text = std::fs::read_to_string(given)?;
        let sites: Vec<_> = text
            .lines()
            .filter_map(|line| line.split_once(','))
            .map(|(id, key)| (id.to_owned(), key.trim().to_owned()))
            .collect();
        if sites.is_empty() { Err("no sites in the file".into()) } else { Ok(Self::Listed(sites)) }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        match self {
            Self::Numbered(count) => *count,
            Self::Listed(sites) => sites.len() as u64,
        }
    }

    /// Id and key of the site whose turn is `turn`, from 0; they repeat.
    pub(crate) fn of_turn(&self, turn: u64) -> (String, String) {
        let turn = turn % self.count();
        match self {
            Self::Numbered(_) => (id(turn + 1).to_string(), key(turn + 1).expose().to_owned()),
            Self::Listed(sites) => {
                usize::try_from(turn).ok().and_then(|turn| sites.get(turn)).cloned().unwrap_or_default()
            }
        }
    }
}

/// The id of site `number`: scattered over the whole range, as random ones
/// are. An odd factor maps no two numbers to one.
pub(crate) fn id(number: u64) -> SiteId {
    SiteId::from_u128(u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

/// The key of site `number`.
fn key(number: u64) -> SecretKey {
    let mut bits = [0; 32];
    for (byte, from) in bits.iter_mut().zip(number.to_le_bytes()) {
        *byte = from;
    }
    SecretKey::from_random_bits(bits)
}

/// The hash of that, which the database has.
pub(crate) fn hash(number: u64) -> KeyHash {
    key(number).hash()
}

/// Prints id and key of each site.
pub(crate) fn print(sites: &Sites) -> Result<(), Failure> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    for turn in 0..sites.count() {
        let (id, key) = sites.of_turn(turn);
        writeln!(out, "{id},{key}")?;
    }
    Ok(out.flush()?)
}

/// Registers sites 1 to `sites` in the database under `data_dir`.
#[tokio::main]
pub(crate) async fn seed(data_dir: &str, sites: u64) -> Result<(), Failure> {
    std::fs::create_dir_all(data_dir)?;
    let store = Store::open(&Path::new(data_dir).join(FILE_NAME))?;
    let now: Timestamp = "2026-01-01T00:00:00Z".parse()?;
    let expires: Timestamp = "2040-01-01T00:00:00Z".parse()?;
    let by = Actor { kind: ActorKind::System, name: "root".to_owned(), token: None, ip: None };
    let numbers: Vec<u64> = (1..=sites).collect();
    for some in numbers.chunks(TOGETHER) {
        let mut tasks = Vec::new();
        for &number in some {
            let (store, by) = (store.clone(), by.clone());
            let name = format!("Trattoria number {number}").parse()?;
            let new = NewSite::named(name, format!("site{number}@example.com").parse()?, expires);
            let site = NewSite { owner_name: format!("Owner of number {number}").parse()?, ..new };
            tasks.push(tokio::spawn(async move {
                let operation = Operation::Register { new: site, key: key(number).hash() };
                store.apply(operation.on(id(number)), by, now).await
            }));
        }
        for task in tasks {
            task.await??.map_err(|refused| format!("a site was not registered: {refused:?}"))?;
        }
    }
    tokio::task::spawn_blocking(move || store.close()).await?;
    Ok(())
}
