#include "serve/sessions/service_metrics.h"

namespace radlads {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;

// Seconds, from half a millisecond on, each twice the one before.
prometheus::Histogram::BucketBoundaries Seconds() {
  prometheus::Histogram::BucketBoundaries bounds;
  for (double bound = 0.0005; bound < 100; bound *= 2) bounds.push_back(bound);
  return bounds;
}

}  // namespace

ServiceMetrics::ServiceMetrics(prometheus::Registry& registry, const std::string& model)
    : texts(BuildGauge().Name("radlads_serve_texts").Help("Texts under way.").Register(registry)),
      bytes(BuildGauge().Name("radlads_serve_state_bytes").Help("Memory or disk of states.").Register(registry)),
      session_count(BuildGauge().Name("radlads_serve_sessions").Help("Sessions in the store.").Register(registry)),
      ends(BuildCounter().Name("radlads_serve_texts_total").Help("Texts that ended.").Register(registry)),
      tokens(BuildCounter().Name("radlads_serve_tokens_total").Help("Tokens of texts.").Register(registry)),
      lookups(BuildCounter()
                  .Name("radlads_serve_prefix_cache_lookups_total")
                  .Help("Texts, by where the state of their beginning was found.")
                  .Register(registry)),
      errors(BuildCounter()
                 .Name("radlads_serve_store_errors_total")
                 .Help("Writes to the session store that failed.")
                 .Register(registry)),
      first(BuildHistogram()
                .Name("radlads_serve_first_token_seconds")
                .Help("From a request to its first token.")
                .Register(registry)),
      between(BuildHistogram().Name("radlads_serve_token_seconds").Help("Between two tokens.").Register(registry)),
      puts(BuildHistogram()
               .Name("radlads_serve_state_put_seconds")
               .Help("Storing a state, off the way of tokens.")
               .Register(registry)),
      waiting(texts.Add({{"model", model}, {"state", "waiting"}})),
      reading(texts.Add({{"model", model}, {"state", "reading"}})),
      active(texts.Add({{"model", model}, {"state", "active"}})),
      active_bytes(bytes.Add({{"model", model}, {"where", "active"}})),
      cache_bytes(bytes.Add({{"model", model}, {"where", "cache"}})),
      store_bytes(bytes.Add({{"model", model}, {"where", "store"}})),
      sessions(session_count.Add({{"model", model}})),
      stopped(ends.Add({{"model", model}, {"finish", "stop"}})),
      length(ends.Add({{"model", model}, {"finish", "length"}})),
      cancelled(ends.Add({{"model", model}, {"finish", "cancelled"}})),
      failed(ends.Add({{"model", model}, {"finish", "error"}})),
      prompt_tokens(tokens.Add({{"model", model}, {"kind", "prompt"}})),
      cached_tokens(tokens.Add({{"model", model}, {"kind", "cached"}})),
      sampled_tokens(tokens.Add({{"model", model}, {"kind", "sampled"}})),
      memory_hits(lookups.Add({{"model", model}, {"result", "memory"}})),
      disk_hits(lookups.Add({{"model", model}, {"result", "disk"}})),
      misses(lookups.Add({{"model", model}, {"result", "miss"}})),
      store_errors(errors.Add({{"model", model}})),
      first_token_seconds(first.Add({{"model", model}}, Seconds())),
      token_seconds(between.Add({{"model", model}}, Seconds())),
      put_seconds(puts.Add({{"model", model}}, Seconds())) {}

void ServiceMetrics::Finished(TextFinish finish) {
  switch (finish) {
    case TextFinish::kStop:
      return stopped.Increment();
    case TextFinish::kLength:
      return length.Increment();
    case TextFinish::kCancelled:
      return cancelled.Increment();
    case TextFinish::kError:
      return failed.Increment();
  }
}

void ServiceMetrics::Update(const EngineStats& engine, const PrefixCacheStats& cache, const SessionStore& store) {
  waiting.Set(static_cast<double>(engine.waiting));
  reading.Set(static_cast<double>(engine.reading));
  active.Set(static_cast<double>(engine.active));
  active_bytes.Set(static_cast<double>(engine.state_bytes));
  cache_bytes.Set(static_cast<double>(cache.bytes));
  store_bytes.Set(static_cast<double>(store.bytes()));
  sessions.Set(static_cast<double>(store.sessions()));
}

}  // namespace radlads
