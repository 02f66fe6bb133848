import structlog

logger = structlog.get_logger()


def handler(body):
    logger.info("handled", body=body)
