// What a session service tells Prometheus.
#ifndef RADLADS_SERVE_SESSIONS_SERVICE_METRICS_H_
#define RADLADS_SERVE_SESSIONS_SERVICE_METRICS_H_

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <string>

#include "serve/engine/engine.h"
#include "serve/sessions/prefix_cache.h"
#include "serve/sessions/session_store.h"
#include "serve/text_service.h"

namespace radlads {

// All with a label model="NAME":
//   radlads_serve_texts{state="waiting"|"reading"|"active"}             now
//   radlads_serve_texts_total{finish="stop"|"length"|"cancelled"|"error"}
//   radlads_serve_tokens_total{kind="prompt"|"cached"|"sampled"}        prompt: read by the model
//   radlads_serve_first_token_seconds, radlads_serve_token_seconds      histograms: from the request on; between tokens
//   radlads_serve_state_bytes{where="active"|"cache"|"store"}
//   radlads_serve_sessions
//   radlads_serve_prefix_cache_lookups_total{result="memory"|"disk"|"miss"}
//   radlads_serve_state_put_seconds                                     histogram
//   radlads_serve_store_errors_total
struct ServiceMetrics {
  ServiceMetrics(prometheus::Registry& registry, const std::string& model);

  void Finished(TextFinish finish);
  void Update(const EngineStats& engine, const PrefixCacheStats& cache, const SessionStore& store);

  prometheus::Family<prometheus::Gauge>&texts, &bytes, &session_count;
  prometheus::Family<prometheus::Counter>&ends, &tokens, &lookups, &errors;
  prometheus::Family<prometheus::Histogram>&first, &between, &puts;
  prometheus::Gauge &waiting, &reading, &active, &active_bytes, &cache_bytes, &store_bytes, &sessions;
  prometheus::Counter &stopped, &length, &cancelled, &failed, &prompt_tokens, &cached_tokens, &sampled_tokens,
      &memory_hits, &disk_hits, &misses, &store_errors;
  prometheus::Histogram &first_token_seconds, &token_seconds, &put_seconds;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_SESSIONS_SERVICE_METRICS_H_
