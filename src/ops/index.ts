// The registry: importing this file defines every op.

import "./argmax.ts";
import "./avg_pool2d.ts";
import "./binary_op.ts";
import "./chain.ts";
import "./channel_stats.ts";
import "./concat.ts";
import "./conv2d.ts";
import "./conv2d_input.ts";
import "./conv2d_weight.ts";
import "./cross_entropy.ts";
import "./dropout.ts";
import "./full.ts";
import "./matmul.ts";
import "./max_pool2d.ts";
import "./movement.ts";
import "./normalize.ts";
import "./normalize_grad.ts";
import "./normalize_pass.ts";
import "./normalize_vectors.ts";
import "./pad.ts";
import "./reduce.ts";
import "./resample.ts";
import "./running_stats.ts";
import "./softmax.ts";
import "./state_update.ts";
import "./unary_op.ts";
