pytest_plugins = ["bitrix24_gateway_testing"]
