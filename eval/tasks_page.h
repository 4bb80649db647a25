// What //eval:run tasks found, as a page.
#ifndef RADLADS_EVAL_TASKS_PAGE_H_
#define RADLADS_EVAL_TASKS_PAGE_H_

#include <string>
#include <vector>

#include "eval/tasks/results.h"

namespace radlads {

// One page that needs no network: a bar for each metric that is a share, and a table of all. `model` names it.
std::string TasksPage(const std::vector<EvaluatedTask>& tasks, const std::string& model);

}  // namespace radlads

#endif  // RADLADS_EVAL_TASKS_PAGE_H_
