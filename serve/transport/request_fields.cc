#include "serve/transport/request_fields.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "base/status.h"

namespace radlads {
namespace {

// In the order of names, which the search needs. uses: chat and completions of //serve:server, then of //eval:server.
constexpr RequestField kFields[] = {
    {"adaptive_decay", "----", "", ""},
    {"adaptive_target", "xxxx", "-1", ""},
    {"add_generation_prompt", "hxhx", "true,false", ""},
    {"add_special_tokens", "xxxx", "false", "write them into the text"},
    {"allowed_token_ids", "xxxx", "", "logit_bias can forbid tokens"},
    {"audio", "xxxx", "", ""},
    {"backend_sampling", "----", "", ""},
    {"bad_words", "xxxx", "", "logit_bias can forbid tokens"},
    {"ban_eos_token", "xxxx", "false", "ignore_eos does that"},
    {"best_of", "xxxx", "1", "send a request for each"},
    {"cache_prompt", "----", "", ""},
    {"cache_salt", "----", "", ""},
    {"chat_template", "xxxx", "", "the model has one"},
    {"chat_template_kwargs", "hxhx", "{}", "/v1/chat/completions has a template"},
    {"choice", "xxxx", "", ""},
    {"continue_final_message", "hxhx", "false", "the text of prompt goes on as it is"},
    {"custom_logit_processor", "xxxx", "", ""},
    {"custom_params", "xxxx", "", ""},
    {"custom_token_bans", "xxxx", "", "logit_bias can forbid tokens"},
    {"data_parallel_rank", "----", "", ""},
    {"decoder_input_details", "xxxx", "false", ""},
    {"details", "xxxx", "false", ""},
    {"do_sample", "xxxx", "true", "temperature 0 takes the likeliest token"},
    {"documents", "xxxx", "", ""},
    {"dry_*", "xxxx", "", ""},
    {"dry_allowed_length", "----", "", ""},
    {"dry_base", "----", "", ""},
    {"dry_multiplier", "xxxx", "0", ""},
    {"dry_penalty_last_n", "----", "", ""},
    {"dry_sequence_breakers", "----", "", ""},
    {"dynamic_temperature", "xxxx", "false", ""},
    {"dynatemp_*", "xxxx", "", ""},
    {"dynatemp_exponent", "----", "", ""},
    {"dynatemp_range", "xxxx", "0", ""},
    {"early_stopping", "xxxx", "false", ""},
    {"ebnf", "xxxx", "", ""},
    {"echo", "xxxh", "false", ""},
    {"enable_search", "xxxx", "false", ""},
    {"enable_thinking", "txtx", "", "/v1/chat/completions has a template"},
    {"encoder_repetition_penalty", "xxxx", "1", ""},
    {"epsilon_cutoff", "xxxx", "0", ""},
    {"eta_cutoff", "xxxx", "0", ""},
    {"extra_key", "----", "", ""},
    {"format", "xxxx", "", ""},
    {"frequency_penalty", "hhhh", "", ""},
    {"function_call", "xxxx", R"("none","auto")", ""},
    {"functions", "xxxx", "", R"(with function_call "none" they are not looked at)"},
    {"grammar", "xxxx", "", ""},
    {"grammar_*", "xxxx", "", ""},
    {"grammar_lazy", "xxxx", "false", ""},
    {"grammar_string", "xxxx", "", ""},
    {"grammar_triggers", "xxxx", "", ""},
    {"guidance_scale", "xxxx", "1", ""},
    {"guided_*", "xxxx", "", ""},
    {"guided_choice", "xxxx", "", ""},
    {"guided_decoding_backend", "----", "", ""},
    {"guided_grammar", "xxxx", "", ""},
    {"guided_json", "xxxx", "", ""},
    {"guided_regex", "xxxx", "", ""},
    {"guided_whitespace_pattern", "----", "", ""},
    {"id_slot", "----", "", ""},
    {"ignore_eos", "hhhh", "", ""},
    {"image_data", "xxxx", "", ""},
    {"include_reasoning", "xxxx", "true", ""},
    {"include_stop_str_in_output", "xxxx", "false", ""},
    {"input_extra", "xxxx", "", ""},
    {"input_ids", "xxxx", "", "prompt takes token ids"},
    {"input_prefix", "xxxx", "", ""},
    {"input_suffix", "xxxx", "", ""},
    {"json_schema", "xxxx", "", ""},
    {"keep_alive", "----", "", ""},
    {"kv_transfer_params", "xxxx", "{}", ""},
    {"length_penalty", "xxxx", "1", ""},
    {"logit_bias", "hhhh", "", ""},
    {"logits_processors", "xxxx", "", ""},
    {"logprobs", "hhhh", "", ""},
    {"lora", "xxxx", "", ""},
    {"lora_path", "xxxx", "", ""},
    {"max_completion_tokens", "hxhx", "", "/v1/completions has max_tokens"},
    {"max_new_tokens", "xxxx", "", "max_tokens is the name"},
    {"max_output_tokens", "xxxx", "", "max_tokens is the name"},
    {"max_tokens", "hhhh", "", ""},
    {"media_io_kwargs", "xxxx", "{}", ""},
    {"messages", "hxhx", "", "/v1/chat/completions takes messages"},
    {"messages[].annotations", "----", "", ""},
    {"messages[].audio", "xxxx", "", ""},
    {"messages[].cache_control", "----", "", ""},
    {"messages[].content", "hhhh", "", ""},
    {"messages[].function_call", "xxxx", "", ""},
    {"messages[].id", "----", "", ""},
    {"messages[].images", "xxxx", "", ""},
    {"messages[].name", "tttt", "", ""},
    {"messages[].partial", "xxxx", "false", "a last message of the assistant's goes on by itself"},
    {"messages[].prefix", "xxxx", "false", "a last message of the assistant's goes on by itself"},
    {"messages[].provider_specific_fields", "----", "", ""},
    {"messages[].reasoning", "xxxx", "", "reasoning_content is the name"},
    {"messages[].reasoning_content", "tttt", "", ""},
    {"messages[].refusal", "hhhh", "", ""},
    {"messages[].role", "hhhh", "", ""},
    {"messages[].thinking_blocks", "xxxx", "", ""},
    {"messages[].tool_call_id", "----", "", ""},
    {"messages[].tool_calls", "xxxx", "", ""},
    {"messages[].weight", "----", "", ""},
    {"metadata", "----", "", ""},
    {"min_keep", "xxxx", "0", ""},
    {"min_length", "xxxx", "0", "min_tokens is the name"},
    {"min_new_tokens", "xxxx", "0", "min_tokens is the name"},
    {"min_p", "hhhh", "", ""},
    {"min_tokens", "hhhh", "", ""},
    {"mirostat", "xxxx", "0", ""},
    {"mirostat_*", "xxxx", "", ""},
    {"mirostat_eta", "----", "", ""},
    {"mirostat_mode", "xxxx", "0", ""},
    {"mirostat_tau", "----", "", ""},
    {"mm_processor_kwargs", "xxxx", "{}", ""},
    {"modalities", "xxxx", R"(["text"])", ""},
    {"model", "hh--", "", ""},
    {"n", "xxxx", "1", "send a request for each"},
    {"n_cmpl", "xxxx", "1", "send a request for each"},
    {"n_discard", "xxxx", "0", ""},
    {"n_indent", "xxxx", "0", ""},
    {"n_keep", "xxxx", "0", ""},
    {"n_predict", "xxxx", "-1", "max_tokens is the name"},
    {"n_probs", "xxxx", "0", "logprobs is the name"},
    {"negative_prompt", "xxxx", "", ""},
    {"no_repeat_ngram_size", "xxxx", "0", ""},
    {"no_stop_trim", "xxxx", "false", ""},
    {"num_beams", "xxxx", "1", ""},
    {"num_ctx", "xxxx", "", ""},
    {"num_predict", "xxxx", "-1", "max_tokens is the name"},
    {"num_return_sequences", "xxxx", "1", "send a request for each"},
    {"options", "xxxx", "{}", "its fields stand by themselves here"},
    {"parallel_tool_calls", "----", "", ""},
    {"parse_tool_calls", "----", "", ""},
    {"penalize_nl", "xxxx", "true", ""},
    {"penalty_alpha", "xxxx", "0", ""},
    {"penalty_last_n", "xxxx", "-1", "penalties look at the whole text"},
    {"plugins", "xxxx", "", ""},
    {"post_sampling_probs", "xxxx", "false", ""},
    {"prediction", "xxxx", "", ""},
    {"presence_penalty", "hhhh", "", ""},
    {"previous_response_id", "hhxx", "", "//serve:server keeps texts"},
    {"priority", "----", "", ""},
    {"prompt", "xhxh", "", "/v1/completions takes plain prompts"},
    {"prompt_cache_key", "----", "", ""},
    {"prompt_cache_retention", "----", "", ""},
    {"prompt_embeds", "xxxx", "", ""},
    {"prompt_logprobs", "xxxx", "", "//eval:server scores prompts with echo"},
    {"prompt_token_ids", "xxxx", "", "prompt takes token ids"},
    {"random_seed", "xxxx", "", "seed is the name"},
    {"reasoning", "xxxx", "{}", ""},
    {"reasoning_budget", "xxxx", "-1", ""},
    {"reasoning_budget_tokens", "xxxx", "-1", ""},
    {"reasoning_effort", "txtx", "", "/v1/chat/completions has a template"},
    {"reasoning_format", "xxxx", R"("none")", ""},
    {"regex", "xxxx", "", ""},
    {"repeat_last_n", "xxxx", "-1", "penalties look at the whole text"},
    {"repeat_penalty", "xxxx", "1", "repetition_penalty is the name"},
    {"repetition_detection", "xxxx", "", ""},
    {"repetition_penalty", "hhhh", "", ""},
    {"repetition_penalty_range", "xxxx", "0", "penalties look at the whole text"},
    {"request_id", "----", "", ""},
    {"response_fields", "xxxx", "", ""},
    {"response_format", "hhxx", R"({"type":"text"})", "//serve:server answers with JSON"},
    {"response_format.*", "xxxx", "", "say in a message what the reply must have"},
    {"response_format.type", "hhhh", "", ""},
    {"return_full_text", "xxxx", "false", ""},
    {"return_hidden_states", "xxxx", "false", ""},
    {"return_progress", "xxxx", "false", ""},
    {"return_token_ids", "xxxx", "false", "gRPC gives token ids"},
    {"return_tokens", "xxxx", "false", "gRPC gives token ids"},
    {"return_tokens_as_token_ids", "xxxx", "false", ""},
    {"rid", "----", "", ""},
    {"safe_prompt", "xxxx", "false", ""},
    {"safety_identifier", "----", "", ""},
    {"sampler_priority", "xxxx", "", ""},
    {"samplers", "xxxx", "", ""},
    {"sampling_seed", "xxxx", "", "seed is the name"},
    {"schema", "xxxx", "", ""},
    {"seed", "hhhh", "", ""},
    {"separate_reasoning", "xxxx", "false", ""},
    {"service_tier", "----", "", ""},
    {"session_id", "hhxx", "", "//serve:server keeps texts"},
    {"session_params", "xxxx", "{}", "session_id goes on from a session"},
    {"skip_special_tokens", "xxxx", "true", ""},
    {"smoothing_factor", "xxxx", "0", ""},
    {"spaces_between_special_tokens", "----", "", ""},
    {"sse_ping_interval", "----", "", ""},
    {"stop", "hhhh", "", ""},
    {"stop_regex", "xxxx", "", ""},
    {"stop_sequences", "xxxx", "", "stop is the name"},
    {"stop_token_ids", "hhhh", "", ""},
    {"store", "hhxx", "false", "//serve:server keeps texts"},
    {"stream", "hhxx", "false", "//serve:server streams"},
    {"stream_options", "hhxx", "{}", "//serve:server streams"},
    {"stream_options.continuous_usage_stats", "xxxx", "false", ""},
    {"stream_options.include_obfuscation", "----", "", ""},
    {"stream_options.include_usage", "hhxx", "false", ""},
    {"stream_reasoning", "----", "", ""},
    {"structural_tag", "xxxx", "", ""},
    {"structured_*", "xxxx", "", ""},
    {"structured_outputs", "xxxx", "", ""},
    {"suffix", "xxxx", "", ""},
    {"system", "xxxx", "", "a message of the role system says it"},
    {"system_prompt", "xxxx", "", "a message of the role system says it"},
    {"t_max_predict_ms", "xxxx", "0,-1", ""},
    {"temperature", "hhhh", "", ""},
    {"text", "xxxx", "", ""},
    {"tfs", "xxxx", "1", ""},
    {"tfs_z", "xxxx", "1", ""},
    {"think", "xxxx", "", "chat_template_kwargs reaches the chat template"},
    {"thinking", "txtx", "", "/v1/chat/completions has a template"},
    {"thinking_budget", "xxxx", "-1", ""},
    {"thinking_budget_tokens", "xxxx", "-1", ""},
    {"thinking_forced_open", "xxxx", "false", ""},
    {"thinking_token_budget", "xxxx", "-1", ""},
    {"timings_per_token", "xxxx", "false", ""},
    {"tool_choice", "xxxx", R"("none","auto")", ""},
    {"tools", "xxxx", "", R"(with tool_choice "none" they are not looked at)"},
    {"top_a", "xxxx", "0", ""},
    {"top_k", "hhhh", "", ""},
    {"top_logprobs", "hxhx", "0", "/v1/completions has logprobs, a number"},
    {"top_n_sigma", "xxxx", "-1,0", ""},
    {"top_p", "hhhh", "", ""},
    {"truncate_prompt_tokens", "xxhh", "", ""},
    {"truncation_side", "xxxx", R"("left")", ""},
    {"ttl", "----", "", ""},
    {"typical", "xxxx", "1", ""},
    {"typical_p", "xxxx", "1", ""},
    {"use_beam_search", "xxxx", "false", ""},
    {"user", "----", "", ""},
    {"verbosity", "xxxx", R"("medium")", ""},
    {"vllm_xargs", "xxxx", "{}", ""},
    {"watermark", "xxxx", "false", ""},
    {"web_search_options", "xxxx", "", ""},
    {"xtc_*", "xxxx", "", ""},
    {"xtc_probability", "xxxx", "0", ""},
    {"xtc_threshold", "----", "", ""},
};

bool IsBefore(const RequestField& field, std::string_view name) {
  return field.name < name;
}

const RequestField* FindField(std::string_view name) {
  const auto at = std::lower_bound(std::begin(kFields), std::end(kFields), name, IsBefore);
  if (at != std::end(kFields) && at->name == name) return &*at;
  // Those that stand for many.
  static const auto* const kFamilies = [] {
    auto* const families = new std::vector<const RequestField*>;
    for (const RequestField& field : kFields) {
      if (field.name.ends_with('*')) families->push_back(&field);
    }
    return families;
  }();
  for (const RequestField* family : *kFamilies) {
    if (name.starts_with(family->name.substr(0, family->name.size() - 1))) return family;
  }
  return nullptr;
}

bool IsEmpty(const RequestJson& value) {
  return value.is_null() || (value.empty() && !value.is_object()) || value == "";
}

// A client that wants no call of its tools gets an ordinary reply.
bool WantsNoCalls(const RequestJson& json, std::string_view name) {
  return (name == "tools" && Field(json, "tool_choice") == "none") ||
         (name == "functions" && Field(json, "function_call") == "none");
}

}  // namespace

std::span<const RequestField> RequestFields() {
  return kFields;
}

absl::Status CheckFields(const RequestJson& json, RequestPath path, std::string_view place, std::string_view shown) {
  std::string full(place);
  for (const auto& [name, value] : json.items()) {
    if (IsEmpty(value)) continue;
    full.resize(place.size());
    full += name;
    const RequestField* const field = FindField(full);
    if (field == nullptr || field->uses[static_cast<int>(path)] != static_cast<char>(FieldUse::kRefused)) continue;
    const RequestJson neutral = RequestJson::parse(Concatenate("[", field->neutral, "]"));
    if (std::find(neutral.begin(), neutral.end(), value) != neutral.end()) continue;
    if (place.empty() && WantsNoCalls(json, name)) continue;
    const std::string_view instead = field->instead;
    constexpr size_t kLongest = 64;
    return InvalidArgument(
        shown.empty() ? place : shown, name.size() <= kLongest ? std::string_view(name) : field->name,
        " is not supported; leave it out", neutral.empty() ? "" : Concatenate(", or set it to ", neutral[0].dump()),
        instead.empty() ? "" : "; ", instead);
  }
  return absl::OkStatus();
}

}  // namespace radlads
