//! Tokens with which programs ask: a backup, monitoring, a shop that registers
//! sites. Each may do what its [`Scope`] says, until it expires, from its
//! networks.
//!
//! The text ends in a checksum, so that a mistyped or cut off token is told
//! from one that has ended without asking the store, and a scanner for leaked
//! secrets knows a real one by looking at it. 190 random bits: a fast hash is
//! enough to store it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use aws_lc_rs::digest;
use ipnet::{IpNet, Ipv4Net};

use super::admin::AdminId;
use super::text::{Stored, TextError, bounded};
use super::time::{SECONDS_PER_DAY, Timestamp};

/// What every token begins with, so that a leaked one is recognised.
pub const PREFIX: &str = "swt_";
/// Base62 characters of random bits.
const RANDOM: usize = 32;
/// Base62 characters of the checksum.
const CHECKSUM: usize = 6;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Days after which a token expires that was made without a word on it.
pub const DEFAULT_DAYS: u32 = 90;
/// Most days after which a token may expire.
pub const MAX_DAYS: u32 = 400;
/// How many days before its end a token is warned of.
pub const WARNING_DAYS: u32 = 14;
/// Most tokens of one admin, those that have expired included.
pub const MAX_TOKENS: usize = 100;

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// See sites, the audit trail and statistics.
    Read,
    /// That, and register, change, lock and unlock sites, and rotate their
    /// keys.
    Operate,
    /// Take a backup, and nothing else: it holds everything.
    Backup,
    /// All that an admin may.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Read, Self::Operate, Self::Backup, Self::Admin];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Backup => "backup",
            Self::Admin => "admin",
        }
    }

    /// Whether who has this scope may do what needs `needed`.
    pub fn allows(self, needed: Self) -> bool {
        match self {
            Self::Admin => true,
            Self::Operate => matches!(needed, Self::Read | Self::Operate),
            Self::Read | Self::Backup => self == needed,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// There is no such scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoScope;

impl fmt::Display for NoScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "must be one of {}", Scope::ALL.map(Scope::as_str).join(", "))
    }
}

impl std::error::Error for NoScope {}

impl FromStr for Scope {
    type Err = NoScope;

    fn from_str(text: &str) -> Result<Self, NoScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(NoScope)
    }
}

/// A token as its owner holds it: [`PREFIX`], 32 base62 characters and 6 of
/// the CRC-32 (as in zlib) of all that stands before them. Never shown by
/// `Debug`.
#[derive(Clone)]
pub struct TokenSecret(String);

/// The SHA-256 of a token's text; all that the store holds of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

/// What was presented is no token: its form or its checksum is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misspelt;

impl TokenSecret {
    /// The token made of these random bits. Each half becomes 16 characters;
    /// what of its 128 bits does not fit into them (95 do) makes no character
    /// likelier than another by more than 2^-32.
    pub fn from_random_bits(bits: [u8; 32]) -> Self {
        let number = u128::from_be_bytes;
        let [high, low] = halves(bits).map(number);
        let body = format!("{PREFIX}{}{}", base62::<{ RANDOM / 2 }>(high), base62::<{ RANDOM / 2 }>(low));
        let checksum = checksum(&body);
        Self(body + &checksum)
    }

    /// What a caller presented as its token.
    ///
    /// # Errors
    /// [`Misspelt`]: no token that was ever made looks so.
    pub fn presented(text: &str) -> Result<Self, Misspelt> {
        let (body, sum) = text.split_at_checked(PREFIX.len() + RANDOM).ok_or(Misspelt)?;
        let random = body.strip_prefix(PREFIX).ok_or(Misspelt)?;
        let is_random = random.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if is_random && sum == checksum(body) { Ok(Self(text.to_owned())) } else { Err(Misspelt) }
    }

    /// The text, to be shown once or sent.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the store keeps.
    pub fn hash(&self) -> TokenHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, self.0.as_bytes()).as_ref());
        TokenHash(hash)
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(…)")
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

fn halves(bits: [u8; 32]) -> [[u8; 16]; 2] {
    let (mut high, mut low) = ([0; 16], [0; 16]);
    for (to, from) in high.iter_mut().chain(&mut low).zip(bits) {
        *to = from;
    }
    [high, low]
}

fn checksum(body: &str) -> String {
    base62::<CHECKSUM>(crc32fast::hash(body.as_bytes()).into())
}

/// The last `DIGITS` digits of a number, with zeros in front.
fn base62<const DIGITS: usize>(mut number: u128) -> String {
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        let place = usize::try_from(number % 62).unwrap_or_default();
        *digit = ALPHABET.get(place).copied().unwrap_or(b'0');
        number /= 62;
    }
    digits.into_iter().map(char::from).collect()
}

/// What a token is called: 1 to 64 characters, unique among those of its
/// admin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenName(String);

impl TokenName {
    /// Greatest number of characters.
    pub const MAX: usize = 64;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TokenName {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        bounded(text, 1, Self::MAX).map(|text| Self(text.to_owned()))
    }
}

impl Stored for TokenName {
    fn from_stored(text: &str) -> Result<Self, TextError> {
        bounded(text, 1, Self::MAX).map(|_| Self(text.to_owned()))
    }
}

/// From where a token counts: at most 20 networks; with none, from anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenNetworks(Vec<IpNet>);

/// Why networks were refused. Displays as the message that the client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworksError {
    /// One is neither a network nor an address.
    Malformed,
    /// There are too many.
    TooMany,
}

impl fmt::Display for NetworksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str(
                "must each be a network such as 192.0.2.0/24 or 2001:db8::/48, or an address such as 192.0.2.7",
            ),
            Self::TooMany => write!(f, "must be at most {}", TokenNetworks::MAX),
        }
    }
}

impl std::error::Error for NetworksError {}

impl TokenNetworks {
    /// Greatest number of networks.
    pub const MAX: usize = 20;

    /// Of networks and addresses, as somebody writes them.
    ///
    /// # Errors
    /// [`NetworksError`].
    pub fn of<T: AsRef<str>>(words: impl IntoIterator<Item = T>) -> Result<Self, NetworksError> {
        let mut networks = words
            .into_iter()
            .map(|word| network(word.as_ref().trim()).ok_or(NetworksError::Malformed))
            .collect::<Result<Vec<_>, _>>()?;
        networks.sort_unstable();
        networks.dedup();
        if networks.len() > Self::MAX { Err(NetworksError::TooMany) } else { Ok(Self(networks)) }
    }

    /// The networks, sorted.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &IpNet> {
        self.0.iter()
    }

    /// Whether `address` lies in one of them.
    pub fn hold(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.is_empty() || self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether every address of `others` lies in these.
    pub fn cover(&self, others: &Self) -> bool {
        let covered = |other: &IpNet| self.0.iter().any(|network| network.contains(other));
        self.0.is_empty() || (!others.0.is_empty() && others.0.iter().all(covered))
    }
}

/// With a space between them.
impl fmt::Display for TokenNetworks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(IpNet::to_string).collect::<Vec<_>>().join(" "))
    }
}

/// A network without bits beyond its prefix; IPv4 in IPv6 clothes (RFC 4291,
/// section 2.5.5.2) is IPv4, as peers are.
fn network(word: &str) -> Option<IpNet> {
    let network = word.parse::<IpNet>().or_else(|_| word.parse::<IpAddr>().map(IpNet::from)).ok()?.trunc();
    match (network, network.addr().to_canonical()) {
        (IpNet::V6(v6), IpAddr::V4(v4)) if v6.prefix_len() >= 96 => {
            Ipv4Net::new(v4, v6.prefix_len() - 96).ok().map(IpNet::V4)
        }
        _ => Some(network),
    }
}

/// A day in UTC, for what need not be known by the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UtcDay(u64);

impl UtcDay {
    /// The day of `time`; those before 1970 count as its first.
    pub fn of(time: Timestamp) -> Self {
        Self(u64::try_from(time.unix() / SECONDS_PER_DAY).unwrap_or_default())
    }

    /// The day so many days after the first of 1970, or `None` beyond the year
    /// 9999.
    pub fn numbered(number: u64) -> Option<Self> {
        Self(number).begins().map(|_| Self(number))
    }

    /// How many days it comes after the first of 1970.
    pub fn number(self) -> u64 {
        self.0
    }

    fn begins(self) -> Option<Timestamp> {
        Timestamp::from_unix(i64::try_from(self.0).ok()?.checked_mul(SECONDS_PER_DAY)?)
    }
}

/// As RFC 3339 writes a date (`2026-11-25`).
impl fmt::Display for UtcDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.begins().unwrap_or(Timestamp::MIN).to_string();
        f.write_str(text.split('T').next().unwrap_or_default())
    }
}

/// A token as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Number in order of creation, from 1; never used again.
    pub id: u64,
    /// Whose it is, and for whom it acts.
    pub admin: AdminId,
    /// What it is called.
    pub name: TokenName,
    /// What it may do.
    pub scope: Scope,
    /// When it was made.
    pub created_at: Timestamp,
    /// The time from which it counts no more.
    pub expires_at: Timestamp,
    /// From where it counts.
    pub networks: TokenNetworks,
    /// The day on which it was used last.
    pub last_used_on: Option<UtcDay>,
}

/// Why a token that there is does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRefused {
    /// It has expired.
    Expired,
    /// It does not count from where it was sent.
    Network,
}

impl ApiToken {
    /// Whether it counts at `now`, sent from `peer`.
    ///
    /// # Errors
    /// [`TokenRefused`].
    pub fn check(&self, peer: IpAddr, now: Timestamp) -> Result<(), TokenRefused> {
        if self.has_expired(now) {
            Err(TokenRefused::Expired)
        } else if !self.networks.hold(peer) {
            Err(TokenRefused::Network)
        } else {
            Ok(())
        }
    }

    /// Whether its time is over.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at <= now
    }

    /// Whether it ends within [`WARNING_DAYS`], and still counts.
    pub fn expires_soon(&self, now: Timestamp) -> bool {
        !self.has_expired(now) && self.expires_at <= days_after(now, WARNING_DAYS)
    }
}

/// A token that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// What it shall be called.
    pub name: TokenName,
    /// What it shall be able to do.
    pub scope: Scope,
    /// When it shall expire; `None`: after [`DEFAULT_DAYS`].
    pub expires_at: Option<Timestamp>,
    /// From where it shall count; `None`: from wherever its maker does.
    pub networks: Option<TokenNetworks>,
}

/// A token that may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// What it is called.
    pub name: TokenName,
    /// What it may do.
    pub scope: Scope,
    /// When it expires.
    pub expires_at: Timestamp,
    /// From where it counts.
    pub networks: TokenNetworks,
}

/// What is wrong with a token that somebody asks for. Displays as the message
/// that the client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFault {
    /// It would have expired already.
    ExpiresInPast,
    /// It would last longer than any may.
    ExpiresTooLate,
    /// It would outlive the token that asks for it, which ends then.
    OutlivesMaker(Timestamp),
    /// It could do more than the token that asks for it.
    WiderScope(Scope),
    /// It would count where the token that asks for it does not.
    WiderNetworks,
}

impl TokenFault {
    /// The field that is bad.
    pub fn field(self) -> &'static str {
        match self {
            Self::ExpiresInPast | Self::ExpiresTooLate | Self::OutlivesMaker(_) => "expires_at",
            Self::WiderScope(_) => "scope",
            Self::WiderNetworks => "networks",
        }
    }
}

impl fmt::Display for TokenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExpiresInPast => f.write_str("must lie in the future"),
            Self::ExpiresTooLate => write!(f, "must lie at most {MAX_DAYS} days ahead"),
            Self::OutlivesMaker(end) => {
                write!(f, "must not lie after {end}, when the token that you ask with ends")
            }
            Self::WiderScope(scope) => {
                write!(f, "must not be more than {scope}, the scope of the token that you ask with")
            }
            Self::WiderNetworks => f.write_str("must lie within the networks of the token that you ask with"),
        }
    }
}

impl TokenRequest {
    /// The token that is made of it at `now`; where a token asks for it
    /// (`maker`), one that may do no more than that.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn decide(self, maker: Option<&ApiToken>, now: Timestamp) -> Result<NewToken, Vec<TokenFault>> {
        let Self { name, scope, expires_at, networks } = self;
        let mut faults = Vec::new();
        if let Some(maker) = maker.filter(|maker| !maker.scope.allows(scope)) {
            faults.push(TokenFault::WiderScope(maker.scope));
        }
        let last = maker.map_or(Timestamp::MAX, |maker| maker.expires_at);
        let expires_at = expires_at.unwrap_or_else(|| days_after(now, DEFAULT_DAYS).min(last));
        if expires_at <= now {
            faults.push(TokenFault::ExpiresInPast);
        } else if expires_at > days_after(now, MAX_DAYS) {
            faults.push(TokenFault::ExpiresTooLate);
        } else if expires_at > last {
            faults.push(TokenFault::OutlivesMaker(last));
        }
        let allowed = maker.map(|maker| &maker.networks);
        let networks = networks.unwrap_or_else(|| allowed.cloned().unwrap_or_default());
        if allowed.is_some_and(|allowed| !allowed.cover(&networks)) {
            faults.push(TokenFault::WiderNetworks);
        }
        if faults.is_empty() { Ok(NewToken { name, scope, expires_at, networks }) } else { Err(faults) }
    }
}

fn days_after(now: Timestamp, days: u32) -> Timestamp {
    now.checked_add_seconds(i64::from(days) * SECONDS_PER_DAY).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_900_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(NOW + seconds).unwrap()
    }

    fn networks(text: &str) -> TokenNetworks {
        TokenNetworks::of(text.split_whitespace()).unwrap()
    }

    fn token() -> ApiToken {
        ApiToken {
            id: 1,
            admin: 1,
            name: "nightly".parse().unwrap(),
            scope: Scope::Admin,
            created_at: at(0),
            expires_at: at(100 * SECONDS_PER_DAY),
            networks: networks("192.0.2.0/24"),
            last_used_on: None,
        }
    }

    fn request() -> TokenRequest {
        let name = "child".parse().unwrap();
        TokenRequest { name, scope: Scope::Read, expires_at: None, networks: None }
    }

    #[test]
    fn a_scope_allows_what_it_says_and_backup_is_apart() {
        use Scope::{Admin, Backup, Operate, Read};
        for (has, allowed) in [
            (Read, &[Read][..]),
            (Operate, &[Read, Operate]),
            (Backup, &[Backup]),
            (Admin, &[Read, Operate, Backup, Admin]),
        ] {
            for needed in Scope::ALL {
                assert_eq!(has.allows(needed), allowed.contains(&needed), "{has} {needed}");
            }
            assert_eq!(has.as_str().parse(), Ok(has));
        }
        assert_eq!("owner".parse::<Scope>(), Err(NoScope));
        assert_eq!(NoScope.to_string(), "must be one of read, operate, backup, admin");
    }

    #[test]
    fn a_token_is_32_random_characters_and_the_crc_32_that_zlib_makes() {
        let token = TokenSecret::from_random_bits([0xfb; 32]);
        // python3 -c 'import zlib; print(zlib.crc32(b"swt_…"))', in base62.
        assert_eq!(token.expose(), "swt_q8JEr4aNoT9l0rs3q8JEr4aNoT9l0rs30Naj9i");
        let zeros = TokenSecret::from_random_bits([0; 32]);
        assert_eq!(zeros.expose(), "swt_000000000000000000000000000000003bl6mJ");
        assert_ne!(token.hash(), zeros.hash());
        assert_eq!(TokenSecret::presented(token.expose()).unwrap().hash(), token.hash());
        assert_eq!(format!("{token:?} {:?}", token.hash()), "TokenSecret(…) TokenHash(…)");
    }

    #[test]
    fn a_token_with_any_one_character_wrong_or_missing_is_no_token() {
        let bits: Vec<u8> = (0..32).map(|byte| byte * 7).collect();
        let token = TokenSecret::from_random_bits(bits.try_into().unwrap()).expose().to_owned();
        assert_eq!(token.len(), 42);
        for place in 0..token.len() {
            for other in ALPHABET.iter().map(|&byte| char::from(byte)).chain(['_', '-', ' ', 'é']) {
                let mut wrong: Vec<char> = token.chars().collect();
                if wrong[place] != other {
                    wrong[place] = other;
                    let wrong: String = wrong.into_iter().collect();
                    assert_eq!(TokenSecret::presented(&wrong).unwrap_err(), Misspelt, "{wrong}");
                }
            }
            assert!(TokenSecret::presented(&token[..place]).is_err());
        }
        assert!(TokenSecret::presented(&format!("{token}0")).is_err());
    }

    #[test]
    fn characters_of_random_bits_come_equally_often() {
        let mut counts = [0_u32; 128];
        let mut seed = [1_u8; 32];
        for _ in 0..4_000 {
            let next = digest::digest(&digest::SHA256, &seed);
            seed.copy_from_slice(next.as_ref());
            for byte in TokenSecret::from_random_bits(seed).expose()[4..36].bytes() {
                counts[usize::from(byte)] += 1;
            }
        }
        let counts: Vec<u32> = ALPHABET.iter().map(|&byte| counts[usize::from(byte)]).collect();
        // 128,000 over 62 places: 2,065 each, six standard deviations are 270.
        assert!(counts.iter().all(|count| (1_795..2_335).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_token_counts_until_the_second_of_its_end_and_from_its_networks() {
        let (token, here) = (token(), "192.0.2.7".parse().unwrap());
        let end = 100 * SECONDS_PER_DAY;
        assert_eq!(token.check(here, at(end - 1)), Ok(()));
        assert_eq!(token.check(here, at(end)), Err(TokenRefused::Expired));
        assert_eq!(token.check("192.0.3.7".parse().unwrap(), at(0)), Err(TokenRefused::Network));
        assert_eq!(token.check("::ffff:192.0.2.7".parse().unwrap(), at(0)), Ok(()));
        let anywhere = ApiToken { networks: TokenNetworks::default(), ..token };
        assert_eq!(anywhere.check("2001:db8::1".parse().unwrap(), at(0)), Ok(()));
    }

    #[test]
    fn a_token_is_warned_of_14_days_before_its_end() {
        let (token, end) = (token(), 100 * SECONDS_PER_DAY);
        for (now, soon) in [
            (end - 14 * SECONDS_PER_DAY - 1, false),
            (end - 14 * SECONDS_PER_DAY, true),
            (end - 1, true),
            (end, false),
        ] {
            assert_eq!(token.expires_soon(at(now)), soon, "{now}");
        }
    }

    #[test]
    fn networks_are_written_in_one_way_and_what_is_none_is_refused() {
        assert_eq!(networks("192.0.2.7/24 10.1.2.3 192.0.2.0/24").to_string(), "10.1.2.3/32 192.0.2.0/24");
        assert_eq!(networks("::ffff:192.0.2.0/120 2001:db8::5/48").to_string(), "192.0.2.0/24 2001:db8::/48");
        assert_eq!(networks("::/0").to_string(), "::/0");
        for bad in ["", "example.com", "192.0.2.0/33", "192.0.2", "192.0.2.0/24/8", "*"] {
            assert_eq!(TokenNetworks::of([bad]), Err(NetworksError::Malformed), "{bad}");
        }
        let many = |count: usize| (0..count).map(|number| format!("10.0.{number}.0/24"));
        assert!(TokenNetworks::of(many(20)).is_ok());
        assert_eq!(TokenNetworks::of(many(21)), Err(NetworksError::TooMany));
    }

    #[test]
    fn expiry_is_90_days_at_most_400_and_never_past() {
        let expires = |days: Option<i64>, seconds: i64| {
            let expires_at = days.map(|days| at(days * SECONDS_PER_DAY + seconds));
            let decided = TokenRequest { expires_at, ..request() }.decide(None, at(0));
            decided.map(|new| new.expires_at.seconds_since(at(0)))
        };
        assert_eq!(expires(None, 0), Ok(90 * SECONDS_PER_DAY));
        assert_eq!(expires(Some(0), 1), Ok(1));
        assert_eq!(expires(Some(400), 0), Ok(400 * SECONDS_PER_DAY));
        assert_eq!(expires(Some(0), 0), Err(vec![TokenFault::ExpiresInPast]));
        assert_eq!(expires(Some(-9), 0), Err(vec![TokenFault::ExpiresInPast]));
        assert_eq!(expires(Some(400), 1), Err(vec![TokenFault::ExpiresTooLate]));
    }

    #[test]
    fn a_token_makes_none_that_may_do_more_than_itself() {
        let maker = token();
        let made = request().decide(Some(&maker), at(20 * SECONDS_PER_DAY)).unwrap();
        assert_eq!(
            (made.expires_at, &made.networks),
            (maker.expires_at, &maker.networks),
            "80 days are left"
        );
        let within = TokenRequest { networks: Some(networks("192.0.2.8/29")), ..request() };
        assert!(within.decide(Some(&maker), at(0)).is_ok());
        for wider in ["", "192.0.0.0/16", "192.0.2.0/25 10.0.0.0/8"] {
            let wider = TokenRequest { networks: Some(networks(wider)), ..request() };
            assert_eq!(wider.decide(Some(&maker), at(0)), Err(vec![TokenFault::WiderNetworks]));
        }
        let (maker, end) = (ApiToken { scope: Scope::Operate, ..maker.clone() }, maker.expires_at);
        let all = TokenRequest {
            scope: Scope::Backup,
            expires_at: end.checked_add_seconds(1),
            networks: Some(TokenNetworks::default()),
            ..request()
        };
        let faults = all.decide(Some(&maker), at(0)).unwrap_err();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field()).collect();
        assert_eq!(fields, ["scope", "expires_at", "networks"]);
        assert_eq!(faults[1], TokenFault::OutlivesMaker(end));
    }

    #[test]
    fn a_day_is_that_of_utc() {
        let day = |text: &str| UtcDay::of(text.parse().unwrap());
        assert_eq!(day("2026-11-25T23:59:59Z").to_string(), "2026-11-25");
        assert_eq!(day("2026-11-25T23:59:59-01:00").to_string(), "2026-11-26");
        assert_eq!(day("1960-01-01T00:00:00Z").number(), 0);
        assert_eq!(UtcDay::numbered(day("2026-11-25T00:00:00Z").number()), Some(day("2026-11-25T12:00:00Z")));
        assert_eq!(UtcDay::numbered(u64::MAX), None);
    }
}
