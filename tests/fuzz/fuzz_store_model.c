/* SPDX-License-Identifier: MIT */
/* libFuzzer: operation sequences, the store against the reference model. */
#include "fuzz_store_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	model_run(data, size);
	return 0;
}
