//! Makes metrics and registers them, so that none is made and not served.

use prometheus::core::Collector;
use prometheus::{
    Counter, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, Result,
};

/// A registry to which metrics are added as they are made. The methods are
/// named for what they make; each fails when another has the name, or when the
/// name is a bad one: both are bugs.
#[derive(Default)]
pub(super) struct Registrar {
    registry: Registry,
}

impl Registrar {
    /// What was registered.
    pub(super) fn into_registry(self) -> Registry {
        self.registry
    }

    /// Registers a metric that has been made already.
    pub(super) fn add<C: Collector + Clone + 'static>(&self, collector: C) -> Result<C> {
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    /// A count.
    pub(super) fn counter(&self, name: &str, help: &str) -> Result<IntCounter> {
        self.add(IntCounter::new(name, help)?)
    }

    /// Counts by labels.
    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    /// A sum of seconds.
    pub(super) fn seconds_counter(&self, name: &str, help: &str) -> Result<Counter> {
        self.add(Counter::new(name, help)?)
    }

    /// A number that goes up and down.
    pub(super) fn gauge(&self, name: &str, help: &str) -> Result<IntGauge> {
        self.add(IntGauge::new(name, help)?)
    }

    /// Numbers by labels. With none, there is nothing to see until it is set.
    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec> {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    /// Seconds, or a time in seconds since 1970.
    pub(super) fn seconds(&self, name: &str, help: &str) -> Result<Gauge> {
        self.add(Gauge::new(name, help)?)
    }

    /// The same, not there at all until it is set.
    pub(super) fn optional_seconds(&self, name: &str, help: &str) -> Result<GaugeVec> {
        self.add(GaugeVec::new(Opts::new(name, help), &[])?)
    }

    /// How many fell into each of these `buckets`.
    pub(super) fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram> {
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?)
    }

    /// The same by labels.
    pub(super) fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec> {
        self.add(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)?)
    }
}
