import os

from loguru import logger

logger.add(os.environ["SURROUNDINGS_OUT"], format="{message}")


def handler(body):
    logger.info("handled")
