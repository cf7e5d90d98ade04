"""How a request is acted on: context, evaluator, executor, and the models behind them."""
